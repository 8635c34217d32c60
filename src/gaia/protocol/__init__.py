"""The protocol between validator and miner: messages, signatures, manifests.

The validator, the miner and the tasks import this package. It imports only the contracts.
"""
