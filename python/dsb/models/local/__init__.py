"""Models that run in this process. Importing the modules below imports torch and transformers."""
