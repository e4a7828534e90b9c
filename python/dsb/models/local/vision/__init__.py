"""From frames to visual tokens, each frame once."""
