"""The compute pool in the IO-Engine and the workers that dial in to it."""
