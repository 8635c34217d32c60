"""A series: the horizontal fields of many instants in one or more files. `gaia score` reads through it."""
