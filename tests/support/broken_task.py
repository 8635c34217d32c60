"""A module of a task that cannot be imported."""

raise RuntimeError("it breaks as it is imported")
