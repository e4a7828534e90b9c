"""The model that ships with the package: it loads like any checkpoint, and it can do its work."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dsb.models.tiny
from children import run
from dsb.benchmarks.synth.fair import Fair, select_questions
from dsb.benchmarks.synth.questions import ask
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.world import FIRST_HELD_OUT_SEED, make_stream
from dsb.errors import ModelError
from dsb.models.tiny import embedded_path
from dsb.models.tiny.answering import Asked, PackedAnswerer, load_model
from dsb.models.tiny.positions import prompt_positions
from dsb.models.tiny.prompts import PREFIX_LENGTH, question_ids
from dsb.models.tiny.vision import patchify
from dsb.models.tiny.vocabulary import VIDEO_PAD_ID, VOCABULARY

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(embedded_path())


def test_the_folder_fits_into_the_package() -> None:
    assert sum(file.stat().st_size for file in embedded_path().iterdir()) <= 12 * 2**20


def test_finding_the_folder_imports_no_heavy_package() -> None:
    code = (
        "import sys; from dsb.models.tiny import embedded_path; embedded_path(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'numpy')))"
    )
    assert run([sys.executable, "-c", code]).returncode == 0


def test_an_incomplete_installation_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dsb.models.tiny.resources, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match=r"config\.json.*pip install.*dsb\.models\.tiny\.train"):
        embedded_path()


def test_it_is_a_stock_model_without_code_of_its_own(model: Any) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    assert type(model) is Qwen2_5_VLForConditionalGeneration
    assert not any(file.suffix == ".py" for file in embedded_path().iterdir())


def test_its_tokenizer_holds_the_vocabulary_of_the_training_code() -> None:
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(embedded_path()).get_vocab() == VOCABULARY


@torch.no_grad()
def test_generate_gives_the_answers_of_the_packed_evaluation(model: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_path())
    stream = make_stream(FIRST_HELD_OUT_SEED + 5, 60)
    frames = render(stream, range(60))
    rng = random.Random(1)
    questions = [q for t in (20, 31, 44, 59) for q in [ask(stream, t, rng)] if q]
    asked = [Asked(question_ids(q), round(q.ask_time_s)) for q in questions]
    packed = PackedAnswerer(model).with_all_frames(frames, asked)
    model.set_attn_implementation("sdpa")
    for question, one, said in zip(questions, asked, packed, strict=True):
        seen = frames[: one.frame + 1]
        if len(seen) % 2:
            seen = np.concatenate([seen, seen[-1:]])
        units = len(seen) // 2
        turns = [text for turn in question.history for text in turn] + [question.prompt]
        messages: list[dict[str, Any]] = [
            {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)
        ]
        messages[0]["content"] = [{"type": "video"}, {"type": "text", "text": turns[0]}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        text = text.replace("<|video_pad|>", "<|video_pad|>" * (4 * units))
        ids = tokenizer(text, return_tensors="pt").input_ids
        length = ids.shape[1]
        spatial = prompt_positions(PREFIX_LENGTH, units, length)
        model.model.rope_deltas = None
        output = model.generate(
            input_ids=ids,
            position_ids=torch.cat([torch.arange(length)[None], spatial])[:, None],
            pixel_values_videos=patchify(seen).flatten(0, 1),
            video_grid_thw=torch.tensor([[units, 4, 4]]),
            mm_token_type_ids=(ids == VIDEO_PAD_ID).int() * 2,
        )
        assert output[0, length].item() == said.token, question.prompt


def test_s2_remembers_what_s1_cannot_see(model: Any) -> None:
    """The trade-off that the benchmark is about, on a few held-out streams without a codec."""
    answerer, fair = PackedAnswerer(model), Fair()
    right: dict[tuple[str, str], list[bool]] = {}
    for seed in range(FIRST_HELD_OUT_SEED + 900, FIRST_HELD_OUT_SEED + 906):
        stream = make_stream(seed, 120)
        frames = render(stream, range(120))
        questions = select_questions(stream, fair, 4)
        asked = [Asked(question_ids(q), round(q.ask_time_s)) for q in questions]
        for name, answers in (
            ("s1", answerer.with_recent_frames(frames, asked)),
            ("s2", answerer.with_all_frames(frames, asked)),
        ):
            for question, said in zip(questions, answers, strict=True):
                correct = said.token == VOCABULARY[question.reply]
                right.setdefault((name, question.task), []).append(correct)
    score = {key: np.mean(values) for key, values in right.items()}
    assert score["s1", "realtime"] >= 0.97
    assert score["s1", "clue"] <= 0.45
    assert score["s2", "clue"] >= 0.93
    assert score["s2", "sequential"] >= 0.95
    assert score["s2", "reasoning"] >= score["s1", "reasoning"] + 0.15
