"""Tokenizers of the two kinds that the families use, trained on a few sentences.

Words differ with the space before them, and long words take several tokens, as in the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AddedToken, LlamaTokenizer, Qwen2Tokenizer

from random_checkpoints.parts import SENTENCES

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def qwen_tokenizer(special: Sequence[str], template: str, **more: object) -> Qwen2Tokenizer:
    """Byte-level BPE in the class of the Qwen2 checkpoints, with the chat tokens and `special`."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocabulary, merges = _train(words, 320, pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, eos_token=END, pad_token=PAD, **more
    )
    return _finish(tokenizer, [PAD, START, END, *special], template)


def llama_tokenizer(special: Sequence[str], template: str, *, old: bool = False) -> LlamaTokenizer:
    """BPE over pieces with a mark for spaces and a token for every byte, in the class of the Llama checkpoints.

    An `old` file begins every run of text between special tokens with a space, a newer one the whole text alone.
    """
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces, merges = _train(words, 120, [])
    control = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: index for index, token in enumerate([*control, *pieces])}
    tokenizer = LlamaTokenizer(vocab=vocabulary, merges=merges, legacy=False, add_bos_token=True)
    if old:
        mark = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(mark)
        tokenizer.backend_tokenizer.pre_tokenizer = None
    return _finish(tokenizer, special, template, pad_token="<pad>")


def _train(
    words: Tokenizer, size: int, alphabet: list[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    words.train_from_iterator(SENTENCES * 4, trainer)
    model = json.loads(words.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _finish(tokenizer, special: Sequence[str], template: str, **named: str):
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special],
        special_tokens=True,
    )
    if named:
        tokenizer.add_special_tokens(named)
    tokenizer.chat_template = template
    return tokenizer
