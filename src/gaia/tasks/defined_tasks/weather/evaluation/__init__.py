"""Scoring of whole files: forecasts of many starts and leads against the weather, outside of any run.

`gaia score` and the xarray functions that `scoring` offers stand here. The validator never imports it; the numbers
come from the same `scoring`.
"""
