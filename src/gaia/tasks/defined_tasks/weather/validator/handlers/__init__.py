"""What runs in compute workers: verifying digests, finding clones, comparing fields.

The payloads of all handlers stand here too. They need no numpy, so the steps of a run build and read them.
"""
