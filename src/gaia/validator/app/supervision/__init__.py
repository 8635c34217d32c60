"""The supervisor: starts, watches and replaces the processes of the validator."""
