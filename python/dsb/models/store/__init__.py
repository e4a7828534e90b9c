"""Checkpoints on this machine: where they are, how they come here from a hub, whether they are whole."""
