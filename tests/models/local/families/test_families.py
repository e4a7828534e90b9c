"""Every model family: what it says about a checkpoint is what the stock processor and model do with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AddedToken, AutoTokenizer, DynamicCache

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Message
from dsb.models.local.checkpoint.load import Checkpoint, load_checkpoint
from dsb.models.local.families import FAMILIES
from dsb.models.local.families.still_images import StillRules
from dsb.models.local.families.tokens import Clock, Cursor, Tokens
from random_checkpoints import MEAN, STD, write_checkpoint
from stock_videos import StockVideo

BACKENDS = {kind: backend for backend, kinds in FAMILIES.items() for kind in kinds}
RULES = ("reference", "hf")
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
#: Model types whose prompt or positions differ between the maker's code and transformers.
RULED = (*QWEN, "minicpmv4_6")
#: Model types whose vision tower takes frames of many sizes, in whole cells.
CELLS = (*QWEN, "minicpmv4_6", "minicpmv4_7")
FPS = Fraction(3)
TURNS = (("user", "What color is the star now?"), ("assistant", "red"), ("user", "Where is it?"))
Load = Callable[..., Checkpoint]


def near(family: str) -> float:
    """How far logits of equal computations may be apart: a recurrent state carries rounding along."""
    return 3e-4 if family.startswith("minicpm") else 3e-5


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def family(request: pytest.FixtureRequest) -> str:
    """A model type."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp(family), family)


@pytest.fixture(scope="module")
def load(family: str, folder: Path) -> Load:
    @cache
    def loaded(rule: str = "reference", path: Path = folder) -> Checkpoint:
        config = ModelConfig(
            backend=BACKENDS[family], path=str(path), device="cpu", prompt=rule, threads=1
        )
        return load_checkpoint(config)

    return loaded


def random_frames(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def stock_video(family: str, checkpoint: Checkpoint, count: int, seed: int = 0) -> StockVideo:
    """`count` random frames of the size that the family asks for."""
    ours = checkpoint.family
    size = ours.frame_size((150, 90))
    return StockVideo(
        family, checkpoint.folder, ours.model, ours.tokenizer, random_frames(count, size, seed), FPS,
        ours.grid(size).tokens, ours.rule,
    )  # fmt: skip


@dataclass
class Assembled:
    """A video and a question through `Family` alone, patch by patch."""

    checkpoint: Checkpoint
    video: StockVideo

    def patches(self) -> list[torch.Tensor]:
        span = self.checkpoint.family.span
        frames = torch.tensor(self.video.frames)
        frames = torch.cat([frames, frames[-1:].repeat(-len(frames) % span, 1, 1, 1)])
        return [self.checkpoint.family.encode(pair) for pair in frames.split(span)]

    def tokens(self) -> tuple[Tokens, Cursor]:
        """Input of the language model, and the cursor behind it."""
        family, chat = self.checkpoint.family, self.checkpoint.chat
        prompt = chat.prompt(tuple(Message(role, text) for role, text in TURNS))
        height, width = self.video.frames.shape[1:3]
        clock = Clock(family.grid((width, height)), FPS)
        head, cursor = family.text(prompt.head, Cursor())
        cursor = Cursor(cursor.next, cursor.next)
        parts = [head]
        for index, (patch, seconds) in enumerate(
            zip(self.patches(), self.video.seconds, strict=True)
        ):
            wrap = chat.wrap(index, seconds)
            before, cursor = family.text(wrap.before, cursor)
            places, cursor = family.place(cursor, index, clock)
            visual = Tokens(patch[0], places, patch[1:] if family.depth else None)
            after, cursor = family.text(wrap.after, cursor)
            parts += [before, visual, after]
        closing = family.closing()
        parts.append(Tokens(closing, family.line(cursor.next, len(closing))))
        cursor = Cursor(cursor.next + len(closing), cursor.origin)
        tail, cursor = family.text(prompt.tail, cursor)
        return Tokens.join([*parts, tail]), cursor

    def greedy(self, count: int) -> tuple[torch.Tensor, list[int]]:
        """Logits of the prompt, and `count` greedy tokens."""
        family = self.checkpoint.family
        kept = DynamicCache(config=family.model.config)
        tokens, cursor = self.tokens()
        scores = family.logits(family.hidden(tokens, kept, None))
        written = [int(scores[-1].argmax())]
        while len(written) < count:
            tokens, cursor = family.text(written[-1:], cursor)
            written.append(int(family.logits(family.hidden(tokens, kept, None))[-1].argmax()))
        return scores, written


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


# -- frames ----------------------------------------------------------------------------------------


@pytest.mark.equality("frames encoded one by one = in one batch")
def test_a_patch_encoded_alone_is_that_of_the_whole_video(family: str, load: Load) -> None:
    video = stock_video(family, load(), 7)
    ours = Assembled(load(), video).patches()
    for alone, batched in zip(ours, video.features(), strict=True):
        torch.testing.assert_close(alone, batched, rtol=0, atol=1e-5)


@pytest.mark.equality("pixels = those of the checkpoint's processor")
def test_pixels_are_those_of_the_stock_processor(family: str, load: Load) -> None:
    video, ours = stock_video(family, load(), 2, seed=3), load().family
    pixels = [ours.pixels(frames) for frames in torch.tensor(video.frames).split(ours.span)]
    torch.testing.assert_close(torch.cat(pixels), video.pixels(), rtol=0, atol=1e-6)


@pytest.mark.equality("frames of any size, scaled on the device")
def test_frames_of_another_size_are_scaled_as_the_stock_processor_does(
    family: str, load: Load
) -> None:
    """Pillow rounds between its two passes, the device does not: never more than two levels apart."""
    ours = load().family
    if family in CELLS:
        pytest.skip("both sides must be multiples of a cell, and the decoder delivers such frames")
    for size in ((200, 150), (90, 160), (40, 33)):
        video = stock_video(family, load(), 1)
        smooth = torch.tensor(random_frames(1, (9, 7), seed=1)).permute(0, 3, 1, 2).float()
        picture = torch.nn.functional.interpolate(smooth, size[::-1], mode="bilinear")
        frames = picture.permute(0, 2, 3, 1).to(torch.uint8)
        other = StockVideo(**{**vars(video), "frames": frames.numpy()})
        apart = (
            (ours.pixels(frames) - other.pixels()).abs() * torch.tensor(STD)[:, None, None] * 255
        )
        assert apart.max() <= 2.01
        assert apart.mean() <= 0.3
        assert ours.grid(size) == ours.grid(ours.frame_size(size))


def test_a_still_family_asks_for_the_frames_that_its_processor_makes(
    family: str, load: Load
) -> None:
    if family in CELLS:
        pytest.skip("its tower takes frames of many sizes")
    ours = load().family
    for source in ((1920, 1080), (1080, 1920), (640, 480), (57, 57)):
        size = ours.frame_size(source)
        assert ours.frame_size(size) == size
        side = ours.model.config.vision_config.image_size
        assert min(size) == (side if isinstance(side, int) else side[0])


# -- the whole prompt ------------------------------------------------------------------------------


@pytest.mark.equality("assembled prompt = stock forward from pixels")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 6, 13])
def test_the_assembled_prompt_is_that_of_the_stock_model(
    family: str, load: Load, rule: str, count: int
) -> None:
    checkpoint = load(rule)
    video = stock_video(family, checkpoint, count)
    ids = video.ids(video.text(TURNS))
    scores, _ = Assembled(checkpoint, video).greedy(1)
    assert len(scores) == len(ids)
    torch.testing.assert_close(scores, video.logits(ids), rtol=0, atol=near(family))


@pytest.mark.equality("assembled prompt = stock forward from embeddings")
def test_cached_embeddings_are_what_the_stock_model_would_compute(family: str, load: Load) -> None:
    checkpoint = load("hf")
    video = stock_video(family, checkpoint, 5)
    assembled = Assembled(checkpoint, video)
    ids = video.ids(video.text(TURNS))
    scores, _ = assembled.greedy(1)
    stock = video.logits_of(ids, assembled.patches())
    torch.testing.assert_close(scores, stock, rtol=0, atol=near(family))


@pytest.mark.equality("greedy tokens = generate")
@pytest.mark.parametrize("count", [5, 6])
def test_greedy_tokens_are_those_of_generate(family: str, load: Load, count: int) -> None:
    checkpoint = load("hf")
    video = stock_video(family, checkpoint, count)
    _, written = Assembled(checkpoint, video).greedy(8)
    assert written == video.generate(video.ids(video.text(TURNS)), 8)


@pytest.mark.equality("weights of 16 bits answer as those of 32")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_full_precision(
    family: str, folder: Path, load: Load, dtype: Any
) -> None:
    config = ModelConfig(
        backend=BACKENDS[family], path=str(folder), device="cpu", dtype=dtype, threads=1
    )
    half = load_checkpoint(config)
    video = stock_video(family, load(), 5)
    full_scores, _ = Assembled(load(), video).greedy(1)
    half_scores, _ = Assembled(half, video).greedy(1)
    assert half_scores.dtype == torch.float32
    assert (half_scores - full_scores).abs().mean() < 0.05 * full_scores.std()


def test_answers_depend_on_what_is_seen_and_asked(family: str, load: Load) -> None:
    """Else none of the tests above says anything."""
    video = stock_video(family, load(), 6)
    scores = video.logits(video.ids(video.text(TURNS)))[-1]
    other = stock_video(family, load(), 6, seed=1)
    seen = other.logits(other.ids(other.text(TURNS)))[-1]
    asked = video.logits(video.ids(video.text([("user", "Is it time?")])))[-1]
    assert scores.std() > 0.5
    assert (scores - seen).abs().max() > 0.1
    assert (scores - asked).abs().max() > 0.1


def test_the_rule_of_the_prompt_matters_where_the_page_says_so(family: str, load: Load) -> None:
    answers = []
    for rule in RULES:
        # Long enough for the time to be the largest position of a video.
        scores, _ = Assembled(load(rule), stock_video(family, load(rule), 14)).greedy(1)
        answers.append(scores[-1])
    assert torch.equal(*answers) == (family not in RULED)


# -- chat ------------------------------------------------------------------------------------------

#: Text across a border between the head of the prompt and the first temporal patch.
BORDERS = {
    "qwen2_vl": "<|vision_start|><|video_pad|>",
    "qwen2_5_vl": "<|vision_start|><|video_pad|>",
    "qwen3_vl": "\n<0",
    "qwen3_vl_moe": "\n<0",
    "llava": " <image>",
    "llava_onevision": "\n<video>",
    "llava_next_video": " <video>",
    "internvl": "\nFrame",
    "minicpmv4_6": "\n<image>",
    "minicpmv4_7": "\n<image>",
}


@pytest.mark.equality("chat template can be split around patches")
def test_a_tokenizer_that_merges_across_a_border_is_refused(
    family: str, folder: Path, load: Load, tmp_path: Path
) -> None:
    load()
    spoilt = tmp_path / "spoilt"
    shutil.copytree(folder, spoilt)
    tokenizer = AutoTokenizer.from_pretrained(spoilt)
    tokenizer.add_tokens([AddedToken(BORDERS[family], normalized=False)])
    tokenizer.save_pretrained(spoilt)
    with pytest.raises(ModelError, match="cannot be split around its video") as error:
        load(path=spoilt)
    assert str(error.value).count("['") == 2


@pytest.mark.parametrize("answer", ["A", "yes", "red star"])
def test_candidates_are_the_tokens_of_an_answer_in_the_templates_own_words(
    family: str, load: Load, answer: str
) -> None:
    """ "ASSISTANT: A" and "assistant\\nA" begin with different tokens."""
    checkpoint = load()
    video = stock_video(family, checkpoint, 2)
    answered = video.text([*TURNS, ("assistant", answer)])
    asked = video.ids(video.text(TURNS))
    prompt = checkpoint.chat.prompt(tuple(Message(*turn) for turn in TURNS))
    (candidate,) = checkpoint.chat.candidates(prompt.tail_text, (answer,))
    assert video.ids(answered)[len(asked) :][: len(candidate)] == list(candidate)
    assert checkpoint.chat.text(list(candidate)) == answer


def test_a_template_that_drops_a_message_is_refused(
    family: str, folder: Path, load: Load, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(folder, spoilt)
    file = next(spoilt.glob("chat_template.*"))
    template = file.read_text(encoding="utf-8")
    loop = "{% for turn in messages" if "for turn in" in template else "{% for m in messages"
    assert loop in template
    file.write_text(template.replace(loop, f"{loop}[:1]"), encoding="utf-8")
    with pytest.raises(ModelError, match=r"drops the assistant message 'A star\.'"):
        load(path=spoilt)


# -- loading ---------------------------------------------------------------------------------------


def test_a_checkpoint_of_another_family_names_the_right_backend(family: str, folder: Path) -> None:
    wrong = next(name for name in FAMILIES if name != BACKENDS[family])
    with pytest.raises(ModelError, match=f"{family}.*set model.backend={BACKENDS[family]}$"):
        load_checkpoint(ModelConfig(backend=wrong, path=str(folder), device="cpu"))


def test_settings_may_stand_in_one_joint_file(
    family: str, folder: Path, load: Load, tmp_path: Path
) -> None:
    """The layout that transformers 5 writes."""
    joint = tmp_path / "joint"
    shutil.copytree(folder, joint)
    content: dict[str, Any] = {}
    for key, name in (("image", ""), ("video", "video_")):
        file = joint / f"{name}preprocessor_config.json"
        if file.exists():
            content[f"{key}_processor"] = json.loads(file.read_text(encoding="utf-8"))
            file.unlink()
    (joint / "processor_config.json").write_text(json.dumps(content), encoding="utf-8")
    size = (1920, 1080)
    assert load(path=joint).family.frame_size(size) == load().family.frame_size(size)


def change(folder: Path, name: str, **fields: Any) -> None:
    file = folder / name
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, **fields}), encoding="utf-8")


def test_pictures_of_another_size_than_the_tower_takes_are_refused(
    family: str, folder: Path, load: Load, tmp_path: Path
) -> None:
    if family in CELLS:
        pytest.skip("its tower takes frames of many sizes")
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    for file in mixed.glob("*preprocessor_config.json"):
        square = {"height": 28, "width": 28}
        key = "size" if "crop_size" not in json.loads(file.read_text()) else "crop_size"
        change(mixed, file.name, **{key: square})
    with pytest.raises(ModelError, match=r"28x28.*files are of two checkpoints"):
        load(path=mixed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_mean": MEAN, "image_std": STD}, "has no size"),
        ({"image_std": STD, "size": 56}, "has no image_mean"),
        ({"image_mean": MEAN, "image_std": STD, "size": 56}, "one fixed size"),
        ({"image_mean": MEAN, "image_std": STD, "size": 56, "crop_size": 84}, "one fixed size"),
        ({"image_mean": MEAN, "image_std": STD, "size": 56, "resample": 1}, "resample is 1"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        StillRules.read(settings)


def test_the_old_notation_of_sizes_is_understood() -> None:
    old = {"image_mean": MEAN, "image_std": STD, "size": 56, "crop_size": 56}
    new = {**old, "size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    assert StillRules.read(old) == StillRules.read({**new, "do_center_crop": True})
    assert StillRules.read(old).scaled((1920, 1080)) == (99, 56)
