"""The numerics of scoring: arrays in, numbers out. No files, no network, no clock.

The compute handlers, `gaia score` and `gaia explain` import this package. `import gaia` offers the xarray functions.
"""
