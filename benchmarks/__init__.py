"""Measurements that back docs/performance.md. `make bench` runs all; nothing of the product imports them."""
