"""Memory: the last turns of a dialogue, and a long-term store that honours causality."""
