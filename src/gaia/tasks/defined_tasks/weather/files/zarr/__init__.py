"""Zarr stores on disk: refuses unsafe ones before a library reads them, and reads plain chunks fast."""
