"""Draws a forecast beside the truth on a map. Runs in compute workers."""
