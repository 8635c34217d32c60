"""Where truth, analysis, reference and climatology come from, and how they are decoded.

The IO-Engine may import `catalogue` and `decode_payloads`, which need no numpy; workers and miners import the rest.
"""
