"""From a folder to a loaded model: whole, known, and as the engine needs it."""
