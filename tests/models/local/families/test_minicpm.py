"""What MiniCPM-V 4.6 and 4.7 have beyond the other families (`test_families.py`): hybrid language models."""

from __future__ import annotations

import inspect
import json
import shutil
from fractions import Fraction

import pytest
import torch
from transformers import DynamicCache, MiniCPMV4_6ImageProcessorPil
from transformers.cache_utils import Cache, DynamicLayer

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Message
from dsb.models.local.checkpoint.load import load_checkpoint
from dsb.models.local.engine.recurrent import RecurrentState
from dsb.models.local.families.tokens import Clock, Cursor, Tokens
from random_checkpoints import write_checkpoint

SIZE = (168, 112)
QUESTIONS = ("What color is the star now?", "How many times?")
#: The chunked rule of linear attention sums in another order when a sequence is cut elsewhere.
CHUNKS = 5e-4


@pytest.fixture(scope="module", params=["minicpmv4_6", "minicpmv4_7"])
def checkpoint(request, tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param, seed=3)
    return load_checkpoint(ModelConfig(backend="minicpm", path=str(folder)))


@pytest.fixture(scope="module")
def frames():
    generator = torch.Generator().manual_seed(5)
    return torch.randint(
        0, 256, (4, 1, SIZE[1], SIZE[0], 3), generator=generator, dtype=torch.uint8
    )


class Stream:
    """Pieces of a prompt, one behind the other, on a cache with stock layers for full attention."""

    def __init__(self, checkpoint):
        self.family, self.chat = checkpoint.family, checkpoint.chat
        text = self.family.model.config.text_config
        self.state = RecurrentState(text)
        self.cache = Cache(
            layers=[
                self.state.layers.get(index) or DynamicLayer()
                for index in range(text.num_hidden_layers)
            ]
        )
        self.cursor = Cursor()
        self.clock = Clock(self.family.grid(SIZE), Fraction(1))

    def head(self, question):
        tokens, self.cursor = self.family.text(self.prompt(question).head, self.cursor)
        self.cursor = Cursor(self.cursor.next, self.cursor.next)
        return tokens

    def patch(self, index, encoded):
        wrap = self.chat.wrap(index, float(index))
        before, cursor = self.family.text(wrap.before, self.cursor)
        places, cursor = self.family.place(cursor, index, self.clock)
        after, self.cursor = self.family.text(wrap.after, cursor)
        return Tokens.join([before, Tokens(encoded[0], places), after])

    def tail(self, question):
        return self.family.text(self.prompt(question).tail, self.cursor)[0]

    def prompt(self, question):
        return self.chat.prompt((Message("user", question),))

    def feed(self, tokens):
        return self.family.hidden(tokens, self.cache, None)

    def crop(self, tokens):
        for layer in self.cache.layers:
            if isinstance(layer, DynamicLayer):
                layer.crop(-tokens)


def stock_logits(checkpoint, frames, question):
    """What the stock model says to the whole prompt with pixels, finding positions by itself."""
    family, chat = checkpoint.family, checkpoint.chat
    model, grid = family.model, family.grid(SIZE)
    pad = family.tokenizer.convert_tokens_to_ids(family.pad)
    prompt = chat.prompt((Message("user", question),))
    ids = list(prompt.head)
    for index in range(len(frames)):
        wrap = chat.wrap(index, float(index))
        ids += [*wrap.before, *[pad] * grid.tokens, *wrap.after]
    ids = torch.tensor([ids + list(prompt.tail)])
    pixels = torch.cat([family.pixels(each) for each in frames], dim=-1)
    sizes = torch.tensor([[SIZE[1] // 14, SIZE[0] // 14]] * len(frames))
    more = {"mm_token_type_ids": (ids == pad).long() * 2} if family.axes == 3 else {}
    if family.axes == 3:
        model.model.rope_deltas = None
    return model(
        input_ids=ids, pixel_values_videos=pixels, target_sizes_videos=sizes, **more
    ).logits


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def test_frames_get_the_size_of_the_stock_processor(checkpoint):
    stock = MiniCPMV4_6ImageProcessorPil(**checkpoint.family.processor)
    rule = {"allow_upscale": True, "downsample_mode": "16x"}
    known = inspect.signature(stock.find_best_resize).parameters
    for source in ((640, 480), (480, 640), (1920, 1080), (100, 30), (56, 56)):
        height, width = stock.find_best_resize(
            source[::-1], 112, 14, **{key: rule[key] for key in rule if key in known}
        )
        assert checkpoint.family.frame_size(source) == (width, height)


def test_a_checkpoint_that_keeps_more_tokens_says_so_in_its_grid(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint.folder, tmp_path / "finer")
    file = folder / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "downsample_mode": "4x"}), encoding="utf-8")
    finer = load_checkpoint(ModelConfig(backend="minicpm", path=str(folder))).family
    assert finer.grid(SIZE).tokens == 4 * checkpoint.family.grid(SIZE).tokens
    dark = torch.zeros((1, SIZE[1], SIZE[0], 3), dtype=torch.uint8)
    assert finer.encode(dark).shape[1] == finer.grid(SIZE).tokens


def test_frame_by_frame_is_the_stock_forward(checkpoint, frames):
    stream = Stream(checkpoint)
    stream.feed(stream.head(QUESTIONS[0]))
    for index, each in enumerate(frames):
        stream.feed(stream.patch(index, stream.family.encode(each)))
    logits = stream.family.logits(stream.feed(stream.tail(QUESTIONS[0])))
    stock = stock_logits(checkpoint, frames, QUESTIONS[0])[0]
    assert torch.allclose(logits, stock[-len(logits) :], atol=CHUNKS)


def test_a_question_leaves_no_trace(checkpoint, frames):
    def watch():
        stream = Stream(checkpoint)
        stream.feed(stream.head(QUESTIONS[0]))
        for index, each in enumerate(frames[:2]):
            stream.feed(stream.patch(index, stream.family.encode(each)))
        return stream

    asked, other = watch(), watch()
    mark = asked.state.snapshot()
    tail = asked.tail(QUESTIONS[0])
    asked.feed(tail)
    asked.state.restore(mark)
    asked.crop(len(tail))
    assert torch.equal(asked.feed(asked.tail(QUESTIONS[1])), other.feed(other.tail(QUESTIONS[1])))


def test_a_tokenizer_without_marks_is_refused(checkpoint):
    from transformers import PreTrainedTokenizerFast

    family = checkpoint.family
    bare = PreTrainedTokenizerFast(tokenizer_object=family.tokenizer.backend_tokenizer)
    with pytest.raises(ModelError, match="image_start_token"):
        type(family)(family.model, bare, family.processor, "reference")


def test_the_hybrid_cache_of_transformers_gives_the_same(checkpoint, frames):
    stream = Stream(checkpoint)
    tokens = Tokens.join([stream.head(QUESTIONS[0]), stream.tail(QUESTIONS[0])])
    stock = DynamicCache(config=stream.family.model.config.text_config)
    assert torch.equal(stream.feed(tokens), stream.family.hidden(tokens, stock, None))
