"""Which files of a repository loading needs: one set of weights, configuration, tokenizer, templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

#: Folders that belong to a checkpoint: modules of sentence-transformers (`1_Pooling`, `query_0_Dense`) and
#: further chat templates. Others hold copies in other formats (`onnx`, `openvino`, `original`) or pictures.
_FOLDER = re.compile(r"(.+_)?\d+_\w+|additional_chat_templates")
_TEXT_FILES = {"vocab.txt", "merges.txt", "added_tokens.txt"}
_SETTINGS = {".json", ".jinja", ".model", ".tiktoken"}
#: One set of weights is enough; the first kind that a folder has is taken, as transformers does.
_WEIGHTS = (
    re.compile(r"model\.safetensors"),
    re.compile(r"model-\d+-of-\d+\.safetensors"),
    re.compile(r".*\.safetensors"),
    re.compile(r"pytorch_model\.bin"),
    re.compile(r"pytorch_model-\d+-of-\d+\.bin"),
)
_INDEX = re.compile(r".+\.index(\..+)?\.json")
_INDEX_OF = {1: "model.safetensors.index.json", 4: "pytorch_model.bin.index.json"}


def needed(paths: Iterable[str]) -> list[str]:
    """The files among `paths` (of a whole repository, with `/`) that loading needs, in alphabetical order."""
    folders: dict[PurePosixPath, list[PurePosixPath]] = {}
    for path in map(PurePosixPath, paths):
        if all(_FOLDER.fullmatch(part) for part in path.parent.parts):
            folders.setdefault(path.parent, []).append(path)
    return sorted(str(path) for files in folders.values() for path in _of_folder(files))


def is_weights(path: str) -> bool:
    """Whether `path` holds weights."""
    name = PurePosixPath(path).name
    return any(kind.fullmatch(name) for kind in _WEIGHTS)


def _of_folder(files: list[PurePosixPath]) -> list[PurePosixPath]:
    settings = [
        path
        for path in files
        if path.name in _TEXT_FILES
        or (path.suffix in _SETTINGS and not _INDEX.fullmatch(path.name))
    ]
    for rank, kind in enumerate(_WEIGHTS):
        weights = [path for path in files if kind.fullmatch(path.name)]
        if weights:
            index = [path for path in files if path.name == _INDEX_OF.get(rank)]
            return settings + weights + index
    return settings
