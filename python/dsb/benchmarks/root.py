"""Where a benchmark lies: the folder that holds its items, and the folder of its videos.

They are one folder as a rule, with `final/` and the videos in it. They lie side by side in

```
DATASETS/final/all.json    the items
DATASETS/data/...          the videos
```

where the data root is `DATASETS/data`: the place of the videos, whose parent holds `final/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsb.config.schema import DatasetConfig


@dataclass(frozen=True)
class DataRoot:
    """The two folders of a benchmark."""

    items_dir: Path
    """Holds `final/`."""
    video_dir: Path
    """The items name their videos relative to it."""
    note: str = ""
    """What the user should know about how the items were found; empty where they were told."""

    @classmethod
    def at(cls, folder: Path) -> DataRoot:
        """Items and videos in one folder."""
        return cls(folder, folder)


def find_root(data_dir: Path, items_dir: Path | None = None) -> DataRoot:
    """The data root at `data_dir`, with the items of `items_dir` where that is given.

    Otherwise the items are in `data_dir`, or in its parent where only that holds `final/`. A folder
    that does not exist has no parent to look at: its name is more likely a slip.
    """
    if items_dir is not None:
        return DataRoot(items_dir, data_dir)
    parent = _parent(data_dir)
    if not data_dir.is_dir() or (data_dir / "final").is_dir() or not (parent / "final").is_dir():
        return DataRoot.at(data_dir)
    note = (
        f"{data_dir} holds no `final/`, but {parent} does: items are looked for there, videos "
        f"below {data_dir}"
    )
    return DataRoot(parent, data_dir, note)


def root_of(dataset: DatasetConfig) -> DataRoot:
    """The data root of a run. Streams that the run makes have their items beside them."""
    data_dir = Path(dataset.data_dir)
    if dataset.synth is not None:
        return DataRoot.at(data_dir)
    return find_root(data_dir, None if dataset.items_dir is None else Path(dataset.items_dir))


def _parent(folder: Path) -> Path:
    """The folder above by its name, so that a link to videos elsewhere counts where it lies."""
    return folder / ".." if folder.name in ("", "..") else folder.parent
