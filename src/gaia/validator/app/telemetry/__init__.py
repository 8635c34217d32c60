"""What the validator tells about itself: log lines, histograms, snapshots and metrics."""
