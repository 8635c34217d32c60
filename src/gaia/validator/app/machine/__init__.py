"""This machine and its kernel: memory, disk, terminal, signals, byte code, service manager. Imports nothing of ours."""
