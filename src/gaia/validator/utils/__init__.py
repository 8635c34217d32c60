"""Settings and the frames between processes; the name is the plan's."""
