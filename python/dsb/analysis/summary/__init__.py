"""From graded rows to `summary.json`."""
