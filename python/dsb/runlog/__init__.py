"""The run log: what a run writes down, and the one way to read it again."""
