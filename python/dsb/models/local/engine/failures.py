"""What torch raises, as errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dsb.errors import DsbError, ModelError, OutOfMemory

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_LESS = "use a shorter window, smaller frames or another dtype"


@contextmanager
def typed_failures(doing: str, remedy: str = _LESS) -> Iterator[None]:
    """Turn a `RuntimeError` of torch into `OutOfMemory` or `ModelError`.

    `doing` says what failed, `remedy` what helps when there was not enough memory for it.
    """
    try:
        yield
    except DsbError:
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, torch.OutOfMemoryError) or any(
            sign in str(error).lower() for sign in _NO_MEMORY
        ):
            raise OutOfMemory(f"no memory left while {doing}: {reason}; {remedy}") from error
        raise ModelError(f"the model failed while {doing}: {reason}") from error
