"""What validator and miner say to each other: messages, signatures, manifests.

The validator, the miner and the tasks import this package; it imports only the contracts.
"""
