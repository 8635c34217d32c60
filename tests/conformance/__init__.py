"""Agreement with independent verification libraries, where definitions agree.

docs/explanation/scoring.md says where they do not.
"""
