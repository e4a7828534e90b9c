"""Routers: which system answers a query."""
