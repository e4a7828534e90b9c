"""What people and programs see: the only place that prints."""
