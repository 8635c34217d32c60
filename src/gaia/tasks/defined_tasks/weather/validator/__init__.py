"""The validator's side of the weather task: the steps of a run, what workers compute for them, and the records."""
