"""The validator's settings, and the messages between its processes."""
