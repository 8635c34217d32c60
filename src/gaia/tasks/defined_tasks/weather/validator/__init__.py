"""The validator's side of the weather task: the steps of a run, their compute handlers, and the database records."""
