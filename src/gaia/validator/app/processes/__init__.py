"""Child processes: how one is started and watched, the place that it fills, and when it is started again."""
