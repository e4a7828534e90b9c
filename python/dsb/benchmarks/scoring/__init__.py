"""Scorers: from what a system said to numbers, without calling a model."""
