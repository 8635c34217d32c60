"""The reference miner: an HTTP server and its forecast models. Imported by the command line only."""
