"""`gaia demo`: runs the whole validator and its miners on this machine. Only the command line imports this package."""
