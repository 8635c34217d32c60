"""The compute pool in the IO-Engine, and the workers that connect to it."""
