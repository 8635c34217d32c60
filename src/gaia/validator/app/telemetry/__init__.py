"""What the validator reports about itself: log lines, histograms, snapshots and metrics."""
