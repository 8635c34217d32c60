"""The validator's HTTP client for the miners."""
