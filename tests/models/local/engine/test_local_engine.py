"""Local models: the same answers however frames were encoded, equal to the stock classes, and no trace left."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dsb._core import WindowSpec
from dsb.errors import CausalityError, ModelError
from dsb.models.backend import Generation, Message, Request
from dsb.models.local.backend import LocalBackend
from dsb.models.local.vision.window import PatchRange
from local_streams import FPS, Stream, content, load, random_frames, write_video
from random_checkpoints import MEAN, STD, write_checkpoint

SIZE = (112, 56)
COUNT = 24
LETTERS = ("A", "B", "C", "D")
HISTORY = (Message("user", "Is it red?"), Message("assistant", "yes"))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param)


@pytest.fixture(scope="module")
def embed(folder: Path) -> LocalBackend:
    return load(folder)


@pytest.fixture(scope="module")
def none(folder: Path) -> LocalBackend:
    return load(folder, "none")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


# -- re-use changes nothing ------------------------------------------------------------------------


@given(data=st.data())
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_encoding_once_gives_the_bits_of_encoding_for_every_question(
    data: st.DataObject, embed: LocalBackend, none: LocalBackend, stream: Stream
) -> None:
    windows = [data.draw(st.integers(1, 9), label="s1"), data.draw(st.integers(4, 30), label="s2")]
    sides = [
        [stream.watcher(backend, 0, most, f"s{i}") for i, most in enumerate(windows, 1)]
        for backend in (embed, none)
    ]
    shown = 0
    while shown < COUNT:
        stop = data.draw(st.integers(min(shown + 2, COUNT), COUNT), label="observed until")
        for conversation in [each for side in sides for each in side]:
            stream.observe(conversation, shown, stop)
        shown = stop
        question = stream.request(shown - 1, candidates=data.draw(st.sampled_from([(), LETTERS])))
        for once, again in zip(*sides, strict=True):
            assert content(once.ask(question)) == content(again.ask(question))
    for conversation in [each for side in sides for each in side]:
        conversation.close()


def test_chunks_of_observation_leave_no_mark(embed: LocalBackend, stream: Stream) -> None:
    replies = []
    for step in (1, 2, 3, 7, 24):
        conversation = stream.watcher(embed, 0, 20)
        for start in range(0, 23, step):
            stream.observe(conversation, start, min(start + step, 23))
        replies.append(content(conversation.ask(stream.request(22))))
        conversation.close()
    assert all(reply == replies[0] for reply in replies)


def test_each_frame_is_encoded_once_for_both_systems(embed: LocalBackend, stream: Stream) -> None:
    systems = [stream.watcher(embed, 0, most, name) for most, name in ((6, "s1"), (24, "s2"))]
    for frame in range(COUNT):
        for conversation in systems:
            stream.observe(conversation, frame, frame + 1)
            conversation.ask(stream.request(frame, candidates=LETTERS))
            conversation.ask(stream.request(frame, "Where is it?", candidates=LETTERS))
    for conversation in systems:
        conversation.close()
    done = embed.counters("session")
    assert done.frames_encoded == COUNT
    assert done.frames_provisional == COUNT / 2  # frames 0, 2, 4, ... were once the newest
    assert done.model_calls == 4 * COUNT


def test_counters_can_be_read_once_after_the_end(embed: LocalBackend, stream: Stream) -> None:
    stream.watcher(embed, 4, session="short").close()
    assert embed.counters("short").frames_encoded == 4
    with pytest.raises(ModelError, match="'short'"):
        embed.counters("short")


# -- windows and causality -------------------------------------------------------------------------


@given(newest=st.integers(0, 40), most=st.integers(1, 20), span=st.sampled_from([1, 2, 3]))
def test_a_window_holds_the_whole_patches_that_begin_in_it(
    newest: int, most: int, span: int
) -> None:
    frames = range(max(0, newest + 1 - most), newest + 1)
    patches = PatchRange.of(frames.start, frames.stop, span)
    whole = [k for k in range(50) if k * span in frames and (k + 1) * span - 1 in frames]
    assert list(range(patches.first, patches.stop)) == whole
    ends_whole = bool(whole) and (whole[-1] + 1) * span == frames.stop
    assert patches.lone == (None if ends_whole else newest)
    assert 1 <= patches.count <= -(-most // span) + (span > 2)


@pytest.mark.parametrize(
    ("newest", "most", "frames", "patches"),
    [(0, 6, (0, 0), 1), (1, 6, (0, 1), 1), (8, 8, (2, 8), 4), (9, 8, (2, 9), 4), (9, 1, (9, 9), 1)],
)
def test_a_reply_says_which_frames_it_depends_on(
    embed: LocalBackend,
    stream: Stream,
    newest: int,
    most: int,
    frames: tuple[int, int],
    patches: int,
) -> None:
    conversation = stream.watcher(embed, newest + 1, most)
    reply = conversation.ask(stream.request(newest))
    assert reply.frames == frames
    assert reply.visible_until_ns == stream.shown_ns(newest)
    assert reply.usage.visual_tokens == patches * 8
    conversation.close()


def test_a_span_of_time_limits_the_window(embed: LocalBackend, stream: Stream) -> None:
    window = WindowSpec(max_frames=20, span_ns=2_000_000_000)
    conversation = embed.open(stream.spec("s1", window))
    stream.observe(conversation, 0, 12)
    assert conversation.ask(stream.request(11)).frames == (8, 11)
    conversation.close()


@pytest.mark.parametrize("reuse", ["none", "embed"])
def test_later_frames_cannot_change_an_answer(
    reuse: str, embed: LocalBackend, none: LocalBackend, stream: Stream, tmp_path: Path
) -> None:
    frames = random_frames(COUNT, SIZE)
    frames[11:] = 255 - frames[11:]
    other = Stream.open(write_video(tmp_path / "other.mkv", frames), SIZE, COUNT)
    backend = {"none": none, "embed": embed}[reuse]
    replies = []
    for each in (stream, other):
        conversation = each.watcher(backend, 11, 24)
        replies.append(content(conversation.ask(each.request(10))))
        conversation.close()
    other.source.close()
    assert replies[0] == replies[1]


def test_a_question_out_of_stream_order_is_refused(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 12)
    with pytest.raises(CausalityError, match="stream order"):
        conversation.ask(stream.request(6))
    with pytest.raises(ModelError, match="frames 12 to 14 are on screen"):
        conversation.ask(stream.request(14))
    with pytest.raises(ModelError, match="frames 12 to 12 were not observed"):
        stream.observe(conversation, 13, 14)
    conversation.close()


def test_the_blind_control_sees_one_black_patch(embed: LocalBackend, stream: Stream) -> None:
    blind = embed.open(stream.spec("blind", None))
    stream.observe(blind, 0, 6)
    reply = blind.ask(stream.request(5, candidates=LETTERS))
    assert (reply.frames, reply.visible_until_ns) == (None, None)
    assert reply.usage.visual_tokens == 8
    assert content(blind.ask(stream.request(0, candidates=LETTERS))) == content(reply)
    blind.close()
    assert embed.counters("session").frames_encoded == 0


# -- equal to the stock classes --------------------------------------------------------------------


def stock_logits(
    backend: LocalBackend, stream: Stream, ids: list[int], frames: range
) -> torch.Tensor:
    """Scores behind every token by the ordinary forward from pixels, positions by the reference rule."""
    family = backend.family
    model = family.model
    with stream.source.frames.window(frames.start, frames.stop) as window:
        pictures = np.array(window)
    stock = Qwen2VLImageProcessorPil(image_mean=MEAN, image_std=STD, do_resize=False)
    doubled = stock(images=list(pictures), return_tensors="pt").pixel_values
    rows = doubled.reshape(len(pictures), -1, 3, 2, 14, 14)
    pixels = torch.stack([rows[0::2, :, :, 0], rows[1::2, :, :, 1]], dim=3).reshape(
        -1, 3 * 2 * 14 * 14
    )
    patches, height, width = len(pictures) // 2, SIZE[1] // 14, SIZE[0] // 14
    per_second = getattr(model.config.vision_config, "tokens_per_second", None)
    step = 1 if per_second is None else per_second * Fraction(2) / FPS
    pad = model.config.video_token_id
    first = ids.index(pad)
    spots = [
        (first + int(t * step), first + h, first + w)
        for t in range(patches)
        for h in range(height // 2)
        for w in range(width // 2)
    ]
    after = max(max(spot) for spot in spots) + 1
    rest = len(ids) - first - len(spots)
    places = [(i,) * 3 for i in range(first)] + spots + [(after + i,) * 3 for i in range(rest)]
    model.model.rope_deltas = None
    with torch.inference_mode():
        output: torch.Tensor = model(
            input_ids=torch.tensor([ids]),
            pixel_values_videos=pixels,
            video_grid_thw=torch.tensor([[patches, height, width]]),
            position_ids=torch.tensor(places).T[:, None],
            mm_token_type_ids=(torch.tensor([ids]) == pad).int() * 2,
        ).logits[0]
    return output.double().log_softmax(-1)


def stock_prompt(backend: LocalBackend, request: Request, patches: int) -> tuple[str, list[int]]:
    """Text and ids of a request through the checkpoint's chat template and tokenizer alone."""
    turns: list[dict[str, Any]] = [
        {"role": message.role, "content": message.text} for message in request.messages
    ]
    turns[0]["content"] = [{"type": "video"}, {"type": "text", "text": turns[0]["content"]}]
    tokenizer = backend.family.tokenizer
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    text = text.replace("<|video_pad|>", "<|video_pad|>" * 8 * patches)
    return text, tokenizer(text, add_special_tokens=False).input_ids


def test_generated_text_is_that_of_the_stock_model(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 10, 6)
    request = stream.request(9, "Where is it?", history=HISTORY, generation=Generation(5))
    reply = conversation.ask(request)
    _, ids = stock_prompt(embed, request, 3)
    assert reply.usage.input_tokens == len(ids)
    written: list[int] = []
    expected: list[float] = []
    for _ in range(5):
        scores = stock_logits(embed, stream, ids + written, range(4, 10))[-1]
        token = int(scores.argmax())
        if token in embed.family.stop_ids:
            break
        written.append(token)
        expected.append(float(scores[token]))
    assert reply.text == embed.family.tokenizer.decode(written, skip_special_tokens=True).strip()
    assert reply.token_logprobs == pytest.approx(expected, abs=1e-4)
    conversation.close()


@pytest.mark.parametrize(
    "candidates",
    [
        ("yes", "no"),
        ("red star", "blue ring", "no"),
        # One begins the other, so both are scored with the end of the turn, by whichever token.
        ("red", "red star"),
    ],
)
def test_candidates_have_the_likelihood_of_the_stock_model(
    embed: LocalBackend, stream: Stream, candidates: tuple[str, ...]
) -> None:
    conversation = stream.watcher(embed, 10, 6)
    request = stream.request(9, candidates=candidates)
    text, ids = stock_prompt(embed, request, 3)
    tokenizer = embed.family.tokenizer
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    totals = []
    for candidate in candidates:
        whole = tokenizer(text + candidate, add_special_tokens=False).input_ids
        scores = stock_logits(embed, stream, whole, range(4, 10))
        places = range(len(ids), len(whole))
        total = sum(float(scores[i - 1, whole[i]]) for i in places)
        if candidates == ("red", "red star"):
            total += float(scores[-1, ends].exp().sum().log())
        totals.append(total)
    expected = torch.tensor(totals).log_softmax(0).tolist()
    reply = conversation.ask(request)
    assert reply.candidate_logprobs == pytest.approx(expected, abs=1e-4)
    assert reply.text == candidates[int(np.argmax(expected))]
    assert reply.token_logprobs is None
    conversation.close()


def test_pixels_are_those_of_the_stock_processor(embed: LocalBackend) -> None:
    frames = random_frames(2, SIZE, seed=3)
    stock = Qwen2VLImageProcessorPil(image_mean=MEAN, image_std=STD, do_resize=False)
    doubled = stock(images=list(frames), return_tensors="pt").pixel_values.reshape(
        2, -1, 3, 2, 14 * 14
    )
    ours = embed.family.pixels(torch.tensor(frames)).reshape(-1, 3, 2, 14 * 14)  # type: ignore[attr-defined]
    for time in (0, 1):
        torch.testing.assert_close(ours[:, :, time], doubled[time, :, :, time], rtol=0, atol=1e-6)
