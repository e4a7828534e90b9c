"""Input hashes in the log: the same for the same question to the same stream, and for no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import sessions
import videos
from dsb.benchmarks.item import Item
from dsb.errors import RateLimited
from dsb.evaluation.session import retrying
from dsb.runlog.records import Call
from random_checkpoints import write_checkpoint
from sessions import instruction, make_config, play, question

torch.set_num_threads(1)

#: Query and system -> hashes of its calls.
Hashes = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), "qwen2_5_vl")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of the same times and sizes."""
    folder = tmp_path_factory.mktemp("data")
    for name, picture in (("a.mp4", "null"), ("b.mp4", "negate")):
        videos.encode(folder / name, [3000 * n for n in range(90)], picture=picture)
    return folder


def hashes(
    items: Sequence[Item],
    data: Path,
    checkpoint: Path,
    run_dir: Path,
    failures: dict[tuple[str, str], list[BaseException]] | None = None,
    **sections: Any,
) -> Hashes:
    config = make_config(data, **sections)
    spy = sessions.load_model(checkpoint, config)
    spy.failures.update(failures or {})
    found: Hashes = {}
    for call in play(config, items, spy, run_dir).of(Call):
        found.setdefault((call.query, call.system), []).append(call.input_hash)
    return found


def test_the_same_question_to_two_videos_differs_but_for_the_blind(
    data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    text = {"question": "What is it?"}
    items = [question(name, 1.2, f"{name}.mp4", **text) for name in ("a", "b")]
    found = hashes(items, data, checkpoint, tmp_path)
    for system in ("s1", "s2"):
        assert found["a", system] != found["b", system]
    assert found["a", "blind"] == found["b", "blind"]


def test_reuse_retries_and_the_mode_do_not_change_a_hash(
    data: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.001)
    items = [question(f"q{k}", 0.3 + 0.6 * k, "a.mp4") for k in range(4)]
    first = hashes(items, data, checkpoint, tmp_path / "first")
    assert len(first) == 4 * 3
    slow: dict[tuple[str, str], list[BaseException]] = {("s2", "q2"): [RateLimited("slow down")]}
    assert hashes(items, data, checkpoint, tmp_path / "again", slow) == first
    assert (
        hashes(items, data, checkpoint, tmp_path / "offline", stream={"mode": "offline"}) == first
    )
    for reuse in ("none", "embed"):
        cache = {"streaming_embed_cache": {"reuse": reuse}}
        assert hashes(items, data, checkpoint, tmp_path / reuse, system=cache) == first
    # S2's window holds the whole video, S1's two frames: equal hashes would be a mistake.
    assert first["q3", "s1"] != first["q3", "s2"]


def test_other_items_of_a_session_do_not_change_a_hash(
    data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    alone = [question("q", 2.2, "a.mp4")]
    more = [*alone, question("p", 0.7, "a.mp4"), instruction("w", 0.0, 2.0, "a.mp4")]
    few, many = (
        hashes(items, data, checkpoint, tmp_path / str(place))
        for place, items in enumerate((alone, more))
    )
    assert few.items() <= many.items()
    assert len(many) > len(few)
