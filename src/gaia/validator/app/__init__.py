"""The validator's processes: supervisor, IO-Engine and compute workers. `io_engine` and `wiring` assemble the engine.

Each subpackage has one role, and imports only from those before it in this list: machine, telemetry, processes,
compute, jobs, supervision.
"""
