"""Backends: what turns frames and a prompt into an answer."""
