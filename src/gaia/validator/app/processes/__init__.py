"""Child processes: starts and watches them, and decides when a child that ended is replaced."""
