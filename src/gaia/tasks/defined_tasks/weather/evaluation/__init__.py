"""Scores whole files: forecasts of many starts and leads against the weather, outside of any run.

`gaia score` and the xarray functions that `scoring` offers live here. The validator never imports this package. The
numbers come from the same `scoring`.
"""
