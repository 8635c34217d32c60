"""The validator's client of the miners' protocol."""
