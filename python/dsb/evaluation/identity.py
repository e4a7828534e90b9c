"""What makes two runs the same run: a hash over everything that can change their results.

Inside: the fields of the configuration that are not marked as operation, the selected items and
their videos, the models, what routers depend on, the ffmpeg build and the package's major
version. Outside: where things are, how many workers, what to keep (Invariant "identity and operation are separate").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dsb.config.schema import RunConfig
from dsb.errors import BenchmarkError

#: These say where the questions come from; the hash of the data says which ones they are.
_COVERED_BY_DATA = {
    "dataset.data_dir",
    "dataset.items_dir",
    "dataset.benchmark",
    "dataset.shard",
    "dataset.max_samples",
    "dataset.synth",
}

#: Routers say themselves what they depend on.
_COVERED_BY_ROUTERS = {"system.scheduler.router", "system.scheduler.compare"}

#: What a model says of itself that does not decide what it answers, once its weights are hashed.
_NOT_THE_MODEL = {"path", "python"}

#: Bytes at each end of a video that are hashed; with its size they tell apart any two encodings.
_EDGE_BYTES = 1 << 16


def digest(value: Any) -> str:
    """BLAKE2b of a JSON value, 32 hex digits; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def identity_fields(config: RunConfig) -> dict[str, Any]:
    """Dotted name -> JSON value of every field that can change results."""
    fields: dict[str, Any] = {}
    _collect(config, "", fields)
    return fields


def run_identity(
    config: RunConfig,
    *,
    data: str,
    models: Mapping[str, Mapping[str, object]],
    ffmpeg: str,
    version: str,
    routers: Sequence[Mapping[str, Any]] = (),
    protocol: Mapping[str, Any] | None = None,
) -> str:
    """The identity of a run, 32 hex digits; the first 8 are shown.

    Args:
        config: the resolved configuration.
        data: `data_digest` of the items.
        models: what each backend says about itself, by system.
        ffmpeg: hash of the decoder's binary; another build may scale to other pixels.
        version: of the package; only the major version counts.
        routers: name, label and `Router.identity` of each, the deciding one first; the configuration knows
            neither their defaults nor what stands in the files that they name.
        protocol: what the protocol changes beside the fields that it sets; only its name is a field.
    """
    return digest(
        {
            "config": identity_fields(config),
            "data": data,
            "models": {name: _model(description) for name, description in models.items()},
            "ffmpeg": ffmpeg,
            "version": version.split(".", 1)[0],
            "routers": [dict(router) for router in routers],
            **({"protocol": dict(protocol)} if protocol else {}),
        }
    )


def data_digest(items: Sequence[Mapping[str, Any]], videos: Mapping[str, Path]) -> str:
    """Hash of the questions, their answers and the videos.

    Args:
        items: the items as JSON values; their order does not matter.
        videos: name of a video in the items -> its file. A file enters with its size and both its
            ends, so that hours of video cost milliseconds. A missing file enters as missing.
    """
    return digest(
        {
            "items": sorted((dict(item) for item in items), key=lambda item: str(item["id"])),
            "videos": {name: _fingerprint(path) for name, path in videos.items()},
        }
    )


def _model(description: Mapping[str, object]) -> dict[str, object]:
    hashed = any(key.startswith("weights") for key in description)
    return {
        key: value for key, value in description.items() if not (hashed and key in _NOT_THE_MODEL)
    }


def _fingerprint(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            head = file.read(_EDGE_BYTES)
            file.seek(max(size - _EDGE_BYTES, 0))
            tail = file.read(_EDGE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BenchmarkError(f"cannot read the video {path}: {error.strerror}") from error
    return hashlib.blake2b(head + tail + str(size).encode(), digest_size=16).hexdigest()


def _collect(section: BaseModel, prefix: str, into: dict[str, Any]) -> None:
    dumped = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        dotted = prefix + name
        extra = field.json_schema_extra
        operation = isinstance(extra, dict) and extra.get("operation") is True
        # Where a checkpoint lies is no part of what it is; its backend's description says that.
        covered = dotted in _COVERED_BY_DATA | _COVERED_BY_ROUTERS
        if operation or covered or dotted.endswith("model.path"):
            continue
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            _collect(value, f"{dotted}.", into)
        elif dotted.endswith("model.device"):
            # Which of several equal devices it is changes no result.
            into[dotted] = str(value).partition(":")[0]
        else:
            into[dotted] = dumped[name]
