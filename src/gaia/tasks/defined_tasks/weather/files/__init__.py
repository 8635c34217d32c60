"""Reads weather files of strangers, and our own: GRIB, NetCDF, Zarr and flat stores.

`store` reads the fields of one instant, `series` those of many. `zarr` guards a Zarr store and reads its chunks.
`errors`, `archive` and `inventory` need no numpy, so the IO-Engine may import them. The rest is for workers, miners and
commands.
"""
