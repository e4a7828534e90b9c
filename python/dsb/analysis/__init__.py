"""Pure functions from a run log to numbers; nothing here calls a model."""
