"""Pure numerics of scoring. No files, no network, no clock: arrays in, numbers out.

The compute handlers, `gaia score` and `gaia explain` import this package.
"""
