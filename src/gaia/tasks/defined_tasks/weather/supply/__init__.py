"""Finds and decodes the truth, analysis, reference and climatology of a run.

The IO-Engine may import `catalogue` and `decode_payloads`, which need no numpy; workers and miners import the rest.
"""
