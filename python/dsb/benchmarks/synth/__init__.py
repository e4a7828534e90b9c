"""A controlled world: streams with exact ground truth, rendered to video, and questions."""
