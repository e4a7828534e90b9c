"""The oldest versions that `pyproject.toml` allows, as constraints for pip.

    python tests/support/lower_bounds.py >oldest.txt

`bash tests/run --oldest` installs by them. Only the standard library: nothing is installed yet.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

_BOUNDED = re.compile(r"(?P<name>[\w.-]+)>=(?P<oldest>[\w.]+)(?:,<[\w.]+)?")


def oldest(requirements: Iterable[str]) -> list[str]:
    """`name==version` for each `name>=version` or `name>=version,<other`.

    Raises:
        ValueError: one is written otherwise, so that no oldest version can be read off.
    """
    pins = []
    for requirement in requirements:
        bounded = _BOUNDED.fullmatch(requirement)
        if bounded is None:
            raise ValueError(f"{requirement!r} in pyproject.toml is not `name>=version[,<version]`")
        pins.append(f"{bounded['name']}=={bounded['oldest']}")
    return pins


def declared() -> list[str]:
    """What the package and its tests ask for."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


if __name__ == "__main__":
    sys.stdout.writelines(f"{pin}\n" for pin in oldest(declared()))
