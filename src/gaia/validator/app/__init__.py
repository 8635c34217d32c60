"""The processes of the validator and what runs in them."""
