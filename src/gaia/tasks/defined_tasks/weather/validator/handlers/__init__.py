"""The compute handlers, which run in workers: verify digests, find clones, score fields.

The payloads of all handlers are here too. They need no numpy, because the steps of a run build and read them.
"""
