"""The files of a checkpoint folder: read with errors that name the file, and checked before anything is loaded."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsb.errors import ModelError

_LOGGER = logging.getLogger(__name__)
#: The weights, or the list of their files, in the order in which transformers looks for them.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
#: Bytes of the number in front of a safetensors header, and the longest header that the format allows.
_LENGTH_BYTES, _LONGEST_HEADER = 8, 100_000_000
_REMEDY = "fetch the checkpoint again and copy the folder whole"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; {_REMEDY}")
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """What kind of model the folder holds.

    Raises:
        ModelError: there is no readable `config.json`.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} is not a checkpoint: it has no config.json; {_REMEDY}")
    return read_json(path)


def read_processor(folder: Path) -> dict[str, Any]:
    """What the checkpoint does with the pixels of a video, or of an image where it says nothing of videos.

    Raises:
        ModelError: none of its files says that, or one cannot be read.
    """
    # Since version 5, transformers writes one file with a section for each part.
    joint = _read_if_there(folder / "processor_config.json")
    found = (
        _read_if_there(folder / "video_preprocessor_config.json")
        or joint.get("video_processor")
        or _read_if_there(folder / "preprocessor_config.json")
        or joint.get("image_processor")
    )
    if not found:
        raise ModelError(f"the checkpoint in {folder} has no preprocessor_config.json; {_REMEDY}")
    return dict(found)


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def old_chat_template(folder: Path) -> str | None:
    """The template in `chat_template.json`, where it stood before transformers 4.5x moved it.

    Raises:
        ModelError: the file is there and holds none.
    """
    path = folder / "chat_template.json"
    if not path.is_file():
        return None
    template = read_json(path).get("chat_template")
    if not isinstance(template, str):
        raise ModelError(f"{path} holds no chat_template; {_REMEDY}")
    return template


def check_tokenizer(folder: Path) -> None:
    """Raise `ModelError` without a vocabulary, for which transformers would make an empty one."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelError(
            f"the checkpoint in {folder} has no tokenizer ({', '.join(_TOKENIZERS)}); {_REMEDY}"
        )


def check_weights(folder: Path) -> None:
    """Raise `ModelError` where a weight file is missing, cut off, or no weight file at all."""
    first = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        raise ModelError(f"the checkpoint in {folder} has no weights ({_WEIGHTS[0]}); {_REMEDY}")
    names = _shards(folder / first) if first.endswith(".json") else [first]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"the checkpoint in {folder} lacks {len(missing)} of its {len(names)} weight files: "
            f"{', '.join(missing)}; {_REMEDY}"
        )
    for name in names:
        if name.endswith(".safetensors"):
            _check_length(folder / name)


def _shards(index: Path) -> list[str]:
    files = read_json(index).get("weight_map")
    if not isinstance(files, Mapping) or not all(isinstance(each, str) for each in files.values()):
        raise ModelError(f"{index} has no weight_map; {_REMEDY}")
    return sorted(set(files.values()))


def _check_length(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if header_bytes > min(size, _LONGEST_HEADER):
            raise ModelError(
                f"{path} is no safetensors file, or only its beginning (a pointer of git-lfs looks like that too); "
                f"{_REMEDY}"
            )
        try:
            header = json.loads(file.read(header_bytes))
            end = max(
                (each["data_offsets"][1] for key, each in header.items() if key != "__metadata__"),
                default=0,
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is damaged: its header cannot be read; {_REMEDY}") from error
    expected = _LENGTH_BYTES + header_bytes + end
    if size != expected:
        raise ModelError(f"{path} has {size} bytes instead of {expected}; {_REMEDY}")


def check_all_loaded(folder: Path, info: Mapping[str, Any]) -> None:
    """Raise `ModelError` if random numbers took the place of a weight; `info` is what transformers reports.

    Weights that no part of the model asked for are logged: some makers leave such things in their files.
    """
    missing, other = sorted(info["missing_keys"]), sorted(info["mismatched_keys"])
    if other:
        name, stored, wanted = other[0]
        raise ModelError(
            f"{len(other)} weights in {folder} have other shapes than config.json describes, among them {name}: "
            f"{tuple(stored)} instead of {tuple(wanted)}; the files are of two checkpoints, {_REMEDY}"
        )
    if missing:
        raise ModelError(
            f"the checkpoint in {folder} lacks {len(missing)} weights of the model that its config.json describes "
            f"({_some(missing)}), and random numbers would take their place; {_REMEDY}"
        )
    unused = sorted(info["unexpected_keys"])
    if unused:
        _LOGGER.warning(
            "%s holds %d weights that its model does not use: %s",
            folder,
            len(unused),
            _some(unused),
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
