"""Agreement with independent verification libraries, where definitions agree; docs/scoring.md says where not."""
