"""Measurements that back docs/explanation/performance.md. `make bench` runs all.

Nothing of the product imports them.
"""
