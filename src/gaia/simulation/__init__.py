"""The embedded atmosphere: a simulated T42 equivalent-barotropic world for demonstrations and tests. Pure NumPy."""
