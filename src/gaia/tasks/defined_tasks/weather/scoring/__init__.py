"""Pure numerics of scoring: arrays in, numbers out. No files, no network, no clock.

Compute handlers, `gaia score` and `gaia explain` import it. `import gaia` offers the functions for people with xarray.
"""
