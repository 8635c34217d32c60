"""The documentation is true: its commands run, its examples hold, its site asks no other host for anything."""
