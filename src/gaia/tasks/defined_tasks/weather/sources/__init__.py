"""Where weather data come from: reading, decoding, digest-checking. In compute workers and in the miner.

The IO-Engine may import `catalog`, `payloads` and `errors`, which need no numpy; the rest is numerics.
"""
