"""The closed word vocabulary: ids, plain encoding, and the same thing as a stock tokenizer.

A token is a word, a digit or a special mark; punctuation and white space are dropped, so `A. red`
and `(A) red` give the same ids. A word outside the list becomes `<|unk|>`. The order of the list is
part of the trained weights: append, never insert.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dsb.benchmarks.item import YES_NO
from dsb.benchmarks.synth.question import LETTERS
from dsb.benchmarks.synth.world import (
    BACKGROUND_NAMES,
    CELLS,
    COLOR_NAMES,
    DIGITS,
    SHAPES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = (
    "<|pad|>",
    "<|unk|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|image_pad|>",
)
ROLES = ("user", "assistant", "system")

_WORLD_WORDS = (*COLOR_NAMES, *BACKGROUND_NAMES, *SHAPES, *CELLS, *DIGITS)
_TEXT = (
    "black What Which Where How Is Tell Was Has a an the is was were are it color colour "
    "background now visible shape digit object objects many times did appear appeared first "
    "last more often or and in on at to when time me still change changed there Answer with "
    "letter only option Options Question question following best word one of"
)

_ALL = (*SPECIAL_TOKENS, *ROLES, *LETTERS, *YES_NO, *_WORLD_WORDS, *_TEXT.split())

#: word -> id; `dict.fromkeys` drops the second of two equal words and keeps the order.
VOCABULARY: dict[str, int] = {word: i for i, word in enumerate(dict.fromkeys(_ALL))}
WORD_OF_ID: dict[int, str] = {i: word for word, i in VOCABULARY.items()}

#: Rows of the embedding matrix. The last two are no words: a visual token uses them to say that its
#: cell holds nothing, so that an empty cell never carries a shape or a place.
EMBEDDING_ROWS = 128
NO_KIND_ID = 126
NO_CELL_ID = 127

PAD_ID = VOCABULARY["<|pad|>"]
UNKNOWN_ID = VOCABULARY["<|unk|>"]
IM_START_ID = VOCABULARY["<|im_start|>"]
IM_END_ID = VOCABULARY["<|im_end|>"]
VISION_START_ID = VOCABULARY["<|vision_start|>"]
VISION_END_ID = VOCABULARY["<|vision_end|>"]
VIDEO_PAD_ID = VOCABULARY["<|video_pad|>"]
IMAGE_PAD_ID = VOCABULARY["<|image_pad|>"]
USER_ID = VOCABULARY["user"]
ASSISTANT_ID = VOCABULARY["assistant"]

_WORD = r"[A-Za-z]+(?:-[a-z]+)*|[0-9]"
_TOKEN = re.compile(rf"<\|[a-z_]+\|>|{_WORD}")

#: Jinja template of a conversation. A video or image part is one pad token; the processor repeats
#: it to the number of visual tokens.
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} "
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}"
    "{% if c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def encode(text: str) -> list[int]:
    """Return the ids of the words in `text`, as `build_tokenizer()` does."""
    return [VOCABULARY.get(word, UNKNOWN_ID) for word in _TOKEN.findall(text)]


def decode(ids: Iterable[int]) -> str:
    """Return the words of `ids` joined by single spaces."""
    return " ".join(WORD_OF_ID[i] for i in ids)


def ids_of(words: Sequence[str]) -> list[int]:
    """Return one id per word; a word outside the vocabulary is a `KeyError`."""
    return [VOCABULARY[word] for word in words]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the stock fast tokenizer with this vocabulary and the chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<|unk|>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    backend.decoder = decoders.WordPiece(prefix="##")
    named = {"pad_token": "<|pad|>", "unk_token": "<|unk|>", "eos_token": "<|im_end|>"}
    stock: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = stock(
        tokenizer_object=backend,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in named.values()],
        **named,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
