"""The words all parts share: identities, errors, time, jobs, units of work, ports.

Everybody may import this package; it imports only the standard library and msgspec.
"""
