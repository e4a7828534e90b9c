"""Where the checkout and the helpers of the tests are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parent.parent
#: What people read. The list of changes is left out: it may name what is gone.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]


def sources(*folders: str) -> Iterator[Path]:
    """The Python and Rust files that we wrote in folders of the checkout, without what a build left there."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            built = "target" in path.relative_to(ROOT).parts
            if path.suffix in {".py", ".pyi", ".rs"} and not built:
                yield path
