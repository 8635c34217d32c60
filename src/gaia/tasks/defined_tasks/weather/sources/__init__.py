"""Where weather data come from: reading, decoding, digest-checking. Runs in compute workers and in the miner."""
