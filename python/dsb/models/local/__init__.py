"""Models that run in this process. Importing the modules below imports torch and transformers."""

import logging

# transformers imports torchao where it is installed, and torch then warns about torchao's own code.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
