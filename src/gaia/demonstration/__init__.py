"""`gaia demo`: the whole validator and its miners on loopback. Imported by the command line only."""
