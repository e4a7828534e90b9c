"""The versions of everything that the package and its checks need here, as constraints for pip.

    python tests/support/passing_versions.py >constraints.txt

`bash tests/run --constraints` writes it once all checks have passed.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PACKAGE, EXTRAS = "dualstreambench", ("test", "dev")


def needed(package: str, extras: Iterable[str]) -> dict[str, str]:
    """Name and version of everything that is installed because `package[extras]` needs it.

    A version is the public one: `+cpu` and the like name a build, which an index elsewhere may lack.
    """
    found: dict[str, str] = {}
    reached: set[tuple[str, str]] = set()
    waiting = [(package, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        distribution = metadata.distribution(name)
        found[canonicalize_name(name)] = Version(distribution.version).public
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, each) for each in ("", *requirement.extras)]
    del found[canonicalize_name(package)]
    return found


if __name__ == "__main__":
    python = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    sys.stdout.write(
        f"# Versions that passed all checks together, on {python}, {sys.platform}, {platform.machine()}.\n"
        "# Written by `bash tests/run --constraints`; use them with: pip install . -c constraints.txt\n"
    )
    versions = sorted(needed(PACKAGE, EXTRAS).items())
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in versions)
