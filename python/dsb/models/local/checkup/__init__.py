"""What a checkpoint will do here, before it is loaded."""
