"""A store: the horizontal fields of one instant. The compute handlers and the miner read through it."""
