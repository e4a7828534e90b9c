"""Benchmark items, schema `dsb-items/1`: one question about one video, with its truth.

Every benchmark is converted to these items; nothing downstream knows where an item came from. A
file of items is `{"schema": "dsb-items/1", "items": [...]}`; a bare list of items is accepted as
well.

How an item is answered (`Item.format`) follows from three fields, in this order:

* `triggers_s` is a list (proactive): `event`. The system is polled from `ask_time_s` on and its
  alerts are compared with the triggers.
* `options` is a list: `choice`. The answer is the letter of an option.
* `meta.space` is exactly yes and no: `yes_no`; otherwise `open`, an answer of one word. Such
  questions keep `options: null`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from dsb.atomic import write_text
from dsb.errors import BenchmarkError

SCHEMA = "dsb-items/1"
#: The words of a yes-no question: yes, or the wish to speak, comes first.
YES_NO = ("yes", "no")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Task = Literal["proactive", "clue", "realtime", "reasoning", "sequential"]
TASKS: Sequence[Task] = get_args(Task)
Format = Literal["event", "choice", "yes_no", "open"]

Seconds = Annotated[float, Field(ge=0)]
#: `(start, end)` in stream seconds, `start <= end`.
Span = tuple[Seconds, Seconds]
Name = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Answer(_Model):
    """The right answer."""

    option: int | None = Field(None, ge=0)
    """Index into the item's options, or `None` without options."""
    text: Name
    """The answer in words; with options, the text of the right one."""


class Exchange(_Model):
    """One earlier exchange of a dialogue."""

    question: Name
    """What the user asked."""
    answer: Name
    """What a perfect system would have answered."""


class Chain(_Model):
    """The dialogue that an item belongs to."""

    id: Name
    """Name of the dialogue; its items share one video."""
    index: int = Field(ge=0)
    """Place of this exchange in the dialogue, from 0."""
    history: Literal["model", "reference"]
    """Whether earlier exchanges are shown with the model's own answers or with the right ones."""
    reference: tuple[Exchange, ...] = ()
    """The earlier exchanges with the right answers, oldest first."""


class Item(_Model):
    """One question about one video."""

    id: Name
    """Unique within the benchmark."""
    task: Task
    """The task set that the item belongs to."""
    source: Name
    """The benchmark that the item comes from."""
    category: Name
    """A finer label for slices of the results, such as `clue.color`."""
    video: Name
    """Path of the video below the data root."""
    ask_time_s: Seconds
    """Stream time of the question; for proactive items, of the instruction."""
    question: Name
    """Text of the question, without its options."""
    options: tuple[Name, ...] | None = None
    """Texts of the options in the order of their letters."""
    answer: Answer | None = None
    """The right answer; `None` for proactive items."""
    evidence_s: tuple[Span, ...] = ()
    """What must have been seen to know the answer; a moment has equal ends. Empty if unknown."""
    valid_s: Span | None = None
    """While this is true the answer is right; `None` if unknown."""
    deadline_s: Seconds | None = None
    """An answer is of use for this many seconds after `ask_time_s`; `None` for no limit."""
    triggers_s: tuple[Seconds, ...] | None = None
    """Proactive items: the moments at which it is right to speak, possibly none."""
    chain: Chain | None = None
    """Sequential items: the dialogue."""
    needs: tuple[str, ...] = ()
    """Abilities beyond video and text that the item asks for, such as `audio`."""
    scored: bool = True
    """False for an exchange that only opens a dialogue: asked and logged, but no part of any score."""
    meta: dict[str, JsonValue] = Field(default_factory=dict)
    """Anything else. Known keys: `space` (every possible answer of an item without options),
    `chance` (of a uniform guess), and for proactive items `once` (the alert is given at most
    once) and `end_s` (stream time of the last poll)."""

    @property
    def format(self) -> Format:
        """How the item is answered; the rule stands at the head of this module."""
        if self.triggers_s is not None:
            return "event"
        if self.options is not None:
            return "choice"
        return "yes_no" if set(self.space) == set(YES_NO) else "open"

    @property
    def space(self) -> tuple[str, ...]:
        """Every possible answer: the options, or `meta.space`; empty if unknown."""
        if self.options is not None:
            return self.options
        space = self.meta.get("space")
        return tuple(str(word) for word in space) if isinstance(space, list) else ()

    @property
    def chance(self) -> float | None:
        """The probability that a uniform guess is right; `None` if unknown or proactive."""
        if self.triggers_s is not None:
            return None
        return 1 / len(self.space) if self.space else None

    @property
    def lookback_s(self) -> float:
        """Seconds from the first evidence to the question: the window that can answer it."""
        return max(
            0.0, self.ask_time_s - min((a for a, _ in self.evidence_s), default=self.ask_time_s)
        )

    @property
    def once(self) -> bool:
        """Whether an alert of this proactive item is given at most once."""
        return self.meta.get("once") is True

    @property
    def end_s(self) -> float | None:
        """Stream time of the last poll of this proactive item; `None` for the end of the video."""
        end = self.meta.get("end_s")
        return float(end) if isinstance(end, int | float) else None


class Problem(NamedTuple):
    """What is wrong with one field."""

    field: str
    #: What is wrong.
    cause: str
    #: What to do about it.
    remedy: str


def problems(item: Item) -> Iterator[Problem]:
    """What is wrong with an item although all its fields have the right type."""
    if (item.task == "proactive") != (item.triggers_s is not None):
        yield Problem(
            "triggers_s",
            "proactive items need a list of triggers (it may be empty), others have none",
            "set `triggers_s` to a list, or the task to another one",
        )
    yield from _answer_problems(item)
    yield from _time_problems(item)
    if item.chain is not None and item.task != "sequential":
        yield Problem("chain", f"a {item.task} item has a chain", "set the task to sequential")


def _answer_problems(item: Item) -> Iterator[Problem]:
    if item.triggers_s is not None:
        if item.options is not None:
            yield Problem("options", "a proactive item has options", "set `options` to null")
        return
    if item.answer is None:
        yield Problem("answer", "there is no answer", "add `answer`, or set `triggers_s`")
        return
    option, text = item.answer.option, item.answer.text
    if item.options is None:
        if option is not None:
            remedy = "set `answer.option` to null, or add the options"
            yield Problem("answer.option", f"option {option} of an item without options", remedy)
        if item.space and text not in item.space:
            cause = f"{text!r} is not one of {', '.join(item.space)}"
            yield Problem("answer.text", cause, "correct the answer or `meta.space`")
        return
    if not 2 <= len(item.options) <= len(LETTERS):
        cause = f"{len(item.options)} options"
        yield Problem("options", cause, f"give 2 to {len(LETTERS)} options, or null")
    if len(set(item.options)) < len(item.options):
        yield Problem("options", "two options are the same", "make the options different")
    if option is None or option >= len(item.options):
        cause = f"option {option} of {len(item.options)}"
        yield Problem("answer.option", cause, "set it to the index of the right option, from 0")
    elif item.options[option] != text:
        cause = f"{text!r} is not option {option}, {item.options[option]!r}"
        yield Problem("answer.text", cause, "set it to the text of the right option")


def _time_problems(item: Item) -> Iterator[Problem]:
    spans = [("valid_s", item.valid_s)] if item.valid_s else []
    spans += [(f"evidence_s[{i}]", span) for i, span in enumerate(item.evidence_s)]
    for field, (start, end) in spans:
        if start > end:
            yield Problem(field, f"starts at {start} s and ends at {end} s", "swap the two times")
    for i, (start, _) in enumerate(item.evidence_s):
        if item.triggers_s is None and start > item.ask_time_s:
            cause = f"starts at {start} s, after the question at {item.ask_time_s} s"
            yield Problem(f"evidence_s[{i}]", cause, "correct it, or ask later")
    for i, trigger in enumerate(item.triggers_s or ()):
        if trigger < item.ask_time_s:
            cause = f"{trigger} s is before the instruction at {item.ask_time_s} s"
            yield Problem(f"triggers_s[{i}]", cause, "remove it, or instruct earlier")
    last = item.meta.get("end_s") if item.triggers_s is not None else None
    if last is not None and (not isinstance(last, int | float) or last < item.ask_time_s):
        cause = f"{last!r} is no time at or after the instruction at {item.ask_time_s} s"
        yield Problem("meta.end_s", cause, "correct it, or remove it to poll to the video's end")
    if list(item.triggers_s or ()) != sorted(item.triggers_s or ()):
        yield Problem("triggers_s", "the triggers are not in order", "sort them")


def parse_item(raw: object) -> tuple[Item | None, list[Problem]]:
    """One item from JSON data, with everything that is wrong with it.

    The item is `None` when a field is missing, unknown or of the wrong type. Types are strict: the
    string "84" is not a time.
    """
    try:
        item = Item.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        return None, [_from_pydantic(e["loc"], e["msg"], e["type"]) for e in error.errors()]
    return item, list(problems(item))


def _from_pydantic(loc: tuple[int | str, ...], message: str, kind: str) -> Problem:
    field = ".".join(str(part) for part in loc) or "item"
    remedy = {"missing": "add it", "extra_forbidden": "remove it, or move it into `meta`"}
    return Problem(field, message.lower(), remedy.get(kind, "correct it"))


def read_raw(path: Path) -> list[object]:
    """The unparsed items of a file. Raises `BenchmarkError` if it is not a file of items."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(
            f"{path}: cannot read the items ({error.strerror}). Make a synthetic benchmark with "
            "`dsb data synth OUT`, or correct the path."
        ) from error
    except ValueError as error:
        raise BenchmarkError(f"{path}: not a JSON file ({error}). Correct the file.") from error
    if isinstance(data, list):
        return data
    if not isinstance(data, dict) or not isinstance(data.get("items"), list):
        raise BenchmarkError(f"{path}: neither a list of items nor an object with `items`.")
    if data.get("schema") != SCHEMA:
        raise BenchmarkError(
            f"{path}: schema: {data.get('schema')!r} is not known. Set it to {SCHEMA!r} if the "
            "items follow it."
        )
    return list(data["items"])


def load_items(path: Path) -> list[Item]:
    """The items of a file, in its order.

    Raises `BenchmarkError` for the first wrong item, with file, id, field and remedy;
    `dsb data validate` lists all of them.
    """
    items: dict[str, Item] = {}
    for position, raw in enumerate(read_raw(path)):
        item, wrong = parse_item(raw)
        if item is not None and item.id in items:
            wrong.append(Problem("id", "a second item has this id", "make the ids unique"))
        if item is None or wrong:
            problem = wrong[0]
            raise BenchmarkError(
                f"{path}: item {raw_id(raw, position)}: {problem.field}: {problem.cause}; "
                f"{problem.remedy}. `dsb data validate {path}` lists everything."
            )
        items[item.id] = item
    return list(items.values())


def raw_id(raw: object, position: int) -> str:
    """How messages name an item that may have no id."""
    name = raw.get("id") if isinstance(raw, dict) else None
    return name if isinstance(name, str) and name else f"number {position}"


def dump_items(items: Iterable[Item], path: Path) -> None:
    """Write a file of items atomically, one item per line.

    Raises `BenchmarkError` for a wrong item.
    """
    lines = []
    for item in items:
        for problem in problems(item):
            raise BenchmarkError(
                f"item {item.id}: {problem.field}: {problem.cause}; {problem.remedy}."
            )
        lines.append(json.dumps(item.model_dump(mode="json"), ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(lines)
    write_text(path, f'{{"schema": "{SCHEMA}", "items": [\n{body}\n]}}\n')
