"""Configuration: schema, layering, and where every value came from."""
