"""How videos are decoded on this machine: threads by measurement, hardware only if it works."""

from __future__ import annotations

from pathlib import Path

import pytest

import videos
from dsb.stream import decoding
from dsb.stream.binary import find_ffmpeg
from dsb.stream.decoding import Cost, best_threads, choose_decoder, measure


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.constant(tmp_path_factory.mktemp("decoding"), frames=60).path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dsb" / "decoder-threads.json"


def test_alone_the_wall_time_counts_and_beside_others_the_cpu_time() -> None:
    costs = {1: Cost(wall_s=2.0, cpu_s=2.0), 8: Cost(wall_s=0.5, cpu_s=2.4)}
    assert best_threads(costs, alone=True) == 8
    assert best_threads(costs, alone=False) == 1


def test_threads_that_save_next_to_nothing_are_not_taken() -> None:
    assert best_threads({1: Cost(1.00, 1.0), 8: Cost(0.98, 1.0)}, alone=True) == 1


def test_decoding_costs_cpu_time(video: Path) -> None:
    cost = measure(video, 1, find_ffmpeg())
    assert cost.cpu_s > 0
    assert cost.wall_s > 0


def test_threads_are_measured_once_per_machine(
    video: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding.os, "sched_getaffinity", lambda _: range(4))
    first = choose_decoder(video)
    assert own_cache.is_file()
    monkeypatch.setattr(decoding, "_timed", None)
    assert choose_decoder(video) == first


def test_a_cache_that_is_not_ours_is_measured_again(video: Path, own_cache: Path) -> None:
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text('{"what": [1, 2]}')
    assert choose_decoder(video).threads >= 1


def test_a_given_number_of_threads_is_taken_unmeasured(video: Path, own_cache: Path) -> None:
    assert choose_decoder(video, threads=3).threads == 3
    assert not own_cache.exists()


def test_hardware_that_does_not_work_is_said_and_software_decodes(video: Path) -> None:
    """An own name stands in for hardware, so that the test holds where there is some."""
    found = choose_decoder(video, hwaccel="none-such", threads=1)  # type: ignore[arg-type]
    assert found.hwaccel is None
    assert "none-such" in found.note
    assert "software" in found.note


def test_automatic_hardware_is_used_only_if_it_decodes(video: Path) -> None:
    found = choose_decoder(video, hwaccel="auto", threads=1)
    assert (found.hwaccel is None) == bool(found.note)
