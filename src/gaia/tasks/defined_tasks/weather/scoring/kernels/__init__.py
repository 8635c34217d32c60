"""Compiled loops over fields, and how their machine code is kept between processes."""
