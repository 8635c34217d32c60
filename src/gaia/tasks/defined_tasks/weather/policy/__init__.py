"""The scoring policy: its numbers, and the pure functions that turn metrics into scores with them."""
