"""Zarr stores on disk: what is refused before a library reads them, and a fast reader of plain chunks."""
