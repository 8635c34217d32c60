"""How fast scoring is: against the memory, against decoding, against its peers, and from a cold start."""
