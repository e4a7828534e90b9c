"""Experiments: one configuration run in several variants, and what differs between them."""
