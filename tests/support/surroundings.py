"""Keeps from the tests what differs from one shell and user to the next.

A test that needs a terminal of 80 columns, no proxy or a filled cache says something about the machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

#: How the tests themselves are told something.
KEPT = {"DSB_FFMPEG", "DSB_FLIPS", "DSB_LEAK_SESSIONS"}
#: Variables that change what is found, fetched or printed.
FOREIGN = re.compile(
    r"(DSB|HF|HUGGINGFACE|TRANSFORMERS|MODELSCOPE|MPL|TTY)_?\w*|\w+_(PROXY|API_KEY|TOKEN)"
    r"|COLUMNS|LINES|GITHUB_ACTIONS|(FORCE|NO|CLI|PY)_?COLORS?(_FORCE)?",
    re.IGNORECASE,
)
#: Where the package and its libraries keep something for the next time, outside of their own folders.
CACHES = ("XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR")


def forget_the_shell(folder: Path) -> None:
    """Remove foreign variables, have caches begin empty below `folder`, and take one core; for children, too."""
    for name in set(os.environ) - KEPT:
        if FOREIGN.fullmatch(name):
            del os.environ[name]
    for name in CACHES:
        os.environ[name] = str(folder / name.lower())
    # Tests run side by side; models this small are faster on one core anyway.
    os.environ["OMP_NUM_THREADS"] = "1"
