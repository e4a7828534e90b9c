"""Who plays the sessions of a run: this process, or others."""
