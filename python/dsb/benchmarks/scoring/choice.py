"""What a free text answers: the letter of an option, yes or no, or one word. Never a guess.

The rules, in this order; `None` (unreadable) where they do not decide:

1. What stands before the last `answer:`, `the answer is`, `option:` ... is skipped, and so is a
lead-in
   such as `It is` or `Option`.
2. *Choice*: a letter alone or with a mark behind it, `B`, `(B)`, `B.`, `B) blue`, `Option B`; a
letter
   followed by the text of its option, `B blue`; otherwise the text of an option. A letter outside
   the options, two letters, or a letter with the text of another option are unreadable.
3. *Yes or no*: the text begins with one of them and does not hold the other.
4. *Words* (and texts of options): the whole answer is the word, or exactly one of the possible
words
   occurs in it and it holds no negation ("not", "no", "neither", "except", ...).

Case, punctuation and markdown do not count; `top left` is `top-left`, `grey` is `gray`, `two` is
`2`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dsb.benchmarks.item import LETTERS, Item

_LEAD = re.compile(
    r"""^\s*(?:
        (?:the|my)?\s*(?:best|correct|right|final)?\s*(?:answer|option|choice)
            (?:\s+(?:is|would\s+be))?\s*:?
        | (?:i\s+(?:think|believe)\s+)?(?:it|that|this)(?:\s+(?:is|was)|'s)
        | i\s+(?:think|believe)
    )\s+(?=\S)""",
    re.IGNORECASE | re.VERBOSE,
)
_MARKER = re.compile(r"\b(?:answer|option|choice)\s*(?:is\b\s*:?|:)\s*", re.IGNORECASE)
_MARKDOWN = re.compile(r"[*_`#]+")
#: A letter in brackets, or followed by a mark, at the start; or alone.
_LETTER = re.compile(
    r"^(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Za-z])\s*[.):,;](?=\s|$)|([A-Za-z])(?=\n|$))"
)
_LETTER_AND_TEXT = re.compile(r"^([A-Z])\s+(\S.*)$", re.DOTALL)
_OTHER_LETTER = re.compile(
    r"(?:^|(?<=\s))(?:[(\[]([A-Z])[)\]]|([B-HJ-Z])(?=$|[\s.,;:)!?])|(A)(?=[.,;:)]|$))"
)
_NEGATIONS = frozenset(
    ("not", "no", "neither", "nor", "never", "except", "without", "cannot", "unknown")
)
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five"),
    *("six", "seven", "eight", "nine", "ten"),
)
_SAME_WORD = {
    "grey": "gray",
    "colour": "color",
    **{word: str(number) for number, word in enumerate(_NUMBER_WORDS)},
}


def normalize(text: str) -> tuple[str, ...]:
    """The words of a text without case, punctuation and markdown, in one spelling."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    words = re.findall(r"\w+(?:'\w+)*", _MARKDOWN.sub(" ", plain))
    return tuple(_SAME_WORD.get(word, word) for word in words)


def extract_choice(text: str, options: Sequence[str]) -> int | None:
    """Index of the option that `text` names by letter or by its text, or `None`."""
    plain = _without_lead(text)
    letter = _LETTER.match(plain)
    if letter:
        return _checked_letter(plain, letter, options)
    spoken = _LETTER_AND_TEXT.match(plain)
    if spoken and LETTERS.index(spoken[1]) < len(options):
        named = [i for i, option in enumerate(options) if normalize(spoken[2]) == normalize(option)]
        if named:
            return LETTERS.index(spoken[1]) if LETTERS.index(spoken[1]) in named else None
    return _mentioned(text, options)


def _checked_letter(plain: str, letter: re.Match[str], options: Sequence[str]) -> int | None:
    """The option of a leading letter, unless what follows names another one."""
    index = LETTERS.index((letter[1] or letter[2] or letter[3]).upper())
    rest = plain[letter.end() :]
    if index >= len(options):
        return None
    others = [LETTERS.index(a or b or c) for a, b, c in _OTHER_LETTER.findall(rest)]
    if any(other != index for other in others if other < len(options)):
        return None
    if not normalize(rest):
        # Nothing is said about texts; an option without words, such as "+", must not match that.
        return index
    own = [i for i, option in enumerate(options) if normalize(rest) == normalize(option)]
    own = own or _mentions(rest, options)
    return index if not own or index in own else None


def extract_yes_no(text: str) -> str | None:
    """`"yes"` or `"no"` when `text` begins with it and does not hold the other, or `None`."""
    words = normalize(_without_lead(text))
    if not words or words[0] not in ("yes", "no"):
        return None
    other = "no" if words[0] == "yes" else "yes"
    return None if other in words else words[0]


def extract_word(text: str, space: Sequence[str]) -> str | None:
    """The member of `space` that `text` names, or `None`."""
    index = _mentioned(text, space)
    return None if index is None else space[index]


def read_answer(item: Item, text: str) -> str | None:
    """The answer that `text` gives to `item`, spelled as in the item, or `None` if unreadable.

    Without options and without known possible answers, it is the text's words.
    """
    if item.format == "choice":
        assert item.options is not None
        index = extract_choice(text, item.options)
        return None if index is None else item.options[index]
    if item.format == "yes_no":
        return extract_yes_no(text)
    if item.space:
        return extract_word(text, item.space)
    return " ".join(normalize(_without_lead(text))) or None


def same_answer(item: Item, answer: str) -> bool:
    """Whether an answer, as `read_answer` gives it, is the right one.

    Raises `ValueError` for a proactive item, which is graded by its alerts.
    """
    if item.answer is None:
        raise ValueError(f"item {item.id} has no answer; grade its alerts instead")
    if item.space:
        # As spelled in the item: possible answers such as "-5" and "5" have the same words.
        return answer == item.answer.text
    return normalize(answer) == normalize(item.answer.text)


def _without_lead(text: str) -> str:
    plain = _after_marker(text)
    while lead := _LEAD.match(plain):
        plain = plain[lead.end() :]
    return plain.strip().strip("\"'").rstrip("!").strip()


def _after_marker(text: str) -> str:
    plain = unicodedata.normalize("NFKC", _MARKDOWN.sub("", text))
    # Single blanks keep the patterns below linear in the length of the text.
    lines = (" ".join(line.split()) for line in plain.splitlines())
    plain = "\n".join(line for line in lines if line)
    return _MARKER.split(plain)[-1].strip() or plain


def _mentioned(text: str, candidates: Sequence[str]) -> int | None:
    # As it stands first: a candidate may itself begin like a lead-in ("It is raining"), and two
    # may differ in their marks alone ("5", "-5").
    spelled = [i for i, each in enumerate(candidates) if _spelling(text) == _spelling(each)]
    if len(spelled) == 1:
        return spelled[0]
    for plain in (text, _after_marker(text), _without_lead(text)):
        words = normalize(plain)
        same = [i for i, each in enumerate(candidates) if words and words == normalize(each)]
        if same:
            return same[0] if len(same) == 1 else None
    found = _mentions(plain, candidates)
    negated = any(w in _NEGATIONS or w.endswith("n't") for w in words)
    return found[0] if len(found) == 1 and not negated else None


def _spelling(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().strip("\"'").strip().casefold()


def _mentions(text: str, candidates: Sequence[str]) -> list[int]:
    """Candidates that occur in `text` as whole words, without those inside a longer candidate."""
    words = list(normalize(text))
    phrases: dict[tuple[str, ...], list[int]] = {}
    for index, candidate in enumerate(candidates):
        phrases.setdefault(normalize(candidate), []).append(index)
    found = []
    for phrase in sorted(phrases, key=len, reverse=True):
        places = [
            at
            for at in range(len(words) - len(phrase) + 1)
            if phrase and tuple(words[at : at + len(phrase)]) == phrase
        ]
        for at in places:
            words[at : at + len(phrase)] = [""] * len(phrase)
        if places:
            found += phrases[phrase]
    return sorted(found)
