"""The embedded atmosphere: a T42 equivalent-barotropic world for demonstrations and tests. Pure NumPy, no files."""
