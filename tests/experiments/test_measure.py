"""What a run cost and answered, from a log whose every number is known."""

from __future__ import annotations

import random
from pathlib import Path

from dsb.experiments.measure import Measured, Response, measure
from dsb.runlog.run import Run, open_run
from run_logs import END, Log, instruction, question, write_run

ITEMS = [question(0), question(1), instruction((10.0,))]


def make_run(folder: Path) -> Run:
    likely, written = Log([ITEMS[0], ITEMS[2]], "a"), Log([ITEMS[1]], "b")
    likely.call("q0", "s1", None, ttft_ns=30, candidate_logprobs=[-0.5, -1.0])
    likely.answer("q0", "s1", "red")
    likely.call("p0", "s1", None, ttft_ns=50, purpose="tick")
    likely.turns("s1", [0.1, None])
    likely.turns("s1", [0.9], first_s=10)
    likely.end(frames_decoded=7)
    written.call("q1", "s1", None, ttft_ns=10)
    written.answer("q1", "s1", "blue")
    written.end(frames_decoded=9, prefill_ns=5)
    return open_run(write_run(folder, ITEMS, likely, written))


def test_costs_are_added_up_over_sessions(tmp_path: Path) -> None:
    found = measure("x", make_run(tmp_path / "run"))
    assert (found.name, found.run_dir) == ("x", tmp_path / "run")
    assert (found.wall_ns, found.model_calls) == (2 * END["wall_ns"], 2 * END["model_calls"])
    assert (found.prefill_ns, found.longest_session) == (5, 9)


def test_a_response_is_a_text_with_the_numbers_behind_it(tmp_path: Path) -> None:
    assert measure("x", make_run(tmp_path / "run")).responses == {
        ("q0", "s1"): Response("red", (-0.5, -1.0)),
        ("q1", "s1"): Response("blue"),
        ("p0", "s1"): Response("silent silent silent", (0.1, 0.9)),
    }


def test_the_time_to_the_first_token_is_that_of_every_call(tmp_path: Path) -> None:
    median = measure("x", make_run(tmp_path / "run")).ttft("s1", 0.5)
    assert median is not None
    assert (median.value, median.n, median.clusters) == (30.0, 3, 2)
    assert measure("x", make_run(tmp_path / "again")).ttft("s2", 0.5) is None


def test_the_interval_of_a_quantile_does_not_depend_on_the_order_of_the_log() -> None:
    draw = random.Random(0)
    sessions = {
        f"v{n}": [draw.randrange(10**9) for _ in range(draw.randint(1, 30))] for n in range(60)
    }
    ways = [sessions, dict(reversed(sessions.items()))]
    one, other = (Measured("x", Path("x"), ttft_ns={"s1": way}).ttft("s1", 0.5) for way in ways)
    assert one == other
