"""One session: a video played once, with everything that is asked on the way."""
