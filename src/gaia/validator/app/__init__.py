"""The validator's processes. `io_engine` and `wiring` put it together; each room beside them holds one role.

A room imports only from those before it: machine, telemetry, processes, compute, jobs, supervision.
"""
