"""The validator's side of the weather task: one file per step of a run, and the compute handlers."""
