"""What systems did with their frames is logged, and silence counts only where the frame was processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import sessions
from dsb.models.backend import Conversation, StreamSpec, Turn
from dsb.runlog.records import Frames, Turns
from dsb.stream.view import StreamView
from sessions import Played, Spy, instruction, make_config, play
from videos import Video


class Late(Spy):
    """A model that is `behind` frames late at every tick; `None` has seen nothing at all."""

    behind: int | None = 0

    def open(self, spec: StreamSpec) -> Conversation:
        inner, behind = super().open(spec), self.behind
        turn = inner.turn

        def late(tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
            return [
                replace(
                    each,
                    processed_through=None
                    if behind is None or each.processed_through is None
                    else each.processed_through - behind,
                )
                for each in turn(tick_ns, view, queries)
            ]

        inner.turn = late  # type: ignore[method-assign]
        return inner


def played(data: Path, run_dir: Path, checkpoint: Path, behind: int | None) -> Played:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    late = Late(spy.inner)
    late.behind = behind
    return play(config, [instruction("w", 0.0, 4.0, "constant.mp4")], late, run_dir)


@pytest.mark.parametrize(("behind", "state"), [(0, "processed"), (1, "unknown"), (None, "unknown")])
def test_a_tick_is_unknown_where_its_frame_was_not_processed(
    behind: int | None, state: str, data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    turns = played(data, run_dir, checkpoint, behind).of(Turns)
    states = {record.system: set(record.states) for record in turns}
    # The blind control has no frame to wait for.
    assert states == {"s1": {state}, "s2": {state}, "blind": {"processed"}}


def test_what_each_system_has_taken_and_processed_is_logged_with_the_frames(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    frames = played(data, run_dir, checkpoint, 0).of(Frames)
    assert frames
    for record in frames:
        newest = record.stop - 1
        assert {name: each.accepted_through for name, each in record.receipts.items()} == {
            "s1": newest,
            "s2": newest,
            "blind": newest,
        }
        # Two frames are a temporal patch; one without its partner is not in the model's state yet.
        whole = record.stop // 2 * 2 - 1
        processed = record.receipts["s2"].processed_through
        assert processed == (whole if whole > 0 else None)
        assert record.receipts["blind"].dropped == []
