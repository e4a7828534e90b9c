"""What a text tower calls the cache that it is given."""

from __future__ import annotations

import inspect
from typing import Any

from dsb.errors import ModelError

#: Newest first. Up to transformers 5.23 it was `past_key_values`, which 5.40 drops.
_NAMES = ("cache", "past_key_values")


def cache_keyword(tower: Any) -> str:
    """The keyword under which the forward of `tower`, a module of transformers, takes a cache.

    A name that is not in the signature would vanish among the other keywords, and nothing would be cached.

    Raises:
        ModelError: it takes none under a known name.
    """
    parameters = inspect.signature(tower.forward).parameters
    for name in _NAMES:
        if name in parameters:
            return name
    raise ModelError(
        f"{type(tower).__name__} of transformers takes a cache neither as {' nor as '.join(_NAMES)}; "
        "report this model and the version of transformers"
    )
