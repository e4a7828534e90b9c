"""Questions about a stream, with exact answers and evidence: one generator per task.

`ask` draws one question about the stream up to a time. A generator returns `None` when the stream
holds nothing to ask about; every description it uses is unique in `[0, ask time]`. Texts are the
phrases that the embedded model is trained on.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from dsb.benchmarks.synth.question import LETTERS, WORDS, Format, Question, Span
from dsb.benchmarks.synth.standing import Condition
from dsb.benchmarks.synth.world import (
    CELLS,
    COLOR_NAMES,
    COUNTS,
    DIGITS,
    SHAPES,
    Episode,
    Stream,
)

__all__ = [
    "GENERATORS",
    "LETTERS",
    "OPENING",
    "TASKS",
    "WORDS",
    "Format",
    "Question",
    "Span",
    "ask",
    "letter_question",
]

#: The tasks of `ask`, in the order of its `mix`.
TASKS: Sequence[str] = ("realtime", "clue", "reasoning", "sequential", "proactive")
#: The first turn of every dialogue; the second one calls its answer "it".
OPENING = "Which shape is visible now?"
#: A background is looked up this long after the start and before the end of an episode.
_EDGE_S = 0.01


def ask(
    stream: Stream,
    t_s: float,
    rng: random.Random,
    task: str | None = None,
    *,
    multiple_choice: float = 0.5,
    tries: int = 6,
    mix: Sequence[float] = (3, 4, 4, 2, 2),
    gap_s: float = 10.0,
    letter: float = 0.0,
) -> Question | None:
    """Draw one question about `stream` at `t_s`.

    `task` fixes the task; otherwise `mix` weighs `TASKS`, and when nothing fits, the colour of the
    background is asked for. `multiple_choice` and `letter` are the shares of multiple-choice
    questions and of questions about option letters alone. Objects of clue questions left at least
    `gap_s` before. Returns `None` when `task` is given and nothing fits in `tries` attempts.
    """
    if letter and rng.random() < letter:
        return letter_question(t_s, rng).with_options(rng)
    for _ in range(tries):
        chosen = task or rng.choices(TASKS, mix)[0]
        question = GENERATORS[chosen](stream, t_s, rng, gap_s)
        if question:
            return question.with_options(rng) if rng.random() < multiple_choice else question
    return None if task else _background_now("realtime", stream, t_s)


def letter_question(t_s: float, rng: random.Random) -> Question:
    """A question that needs no video: which option is this word?"""
    words = rng.choice(list(WORDS))
    answer = rng.choice(WORDS[words])
    return Question("letter", words, f"Which option is {answer}?", answer, words, t_s)


# -- realtime: about the present
# --------------------------------------------------------------------

_REALTIME_WEIGHTS = {
    "background": 1,
    "count": 1.5,
    "yes_no": 1.5,
    "color": 3,
    "shape": 2,
    "cell": 2,
    "digit": 2,
    "digit_cell": 1,
}


def realtime(stream: Stream, t_s: float, rng: random.Random, gap_s: float) -> Question | None:
    """What is on screen now: colour, shape, cell, digit, background, number of objects."""
    active = stream.active(t_s)
    shapes = [e for e in active if not e.is_digit]
    digits = [e for e in active if e.is_digit]
    kinds = ["background", "count", "yes_no"]
    kinds += ["color", "shape", "cell"] if shapes else []
    kinds += ["digit", "digit_cell"] if digits else []
    kind = rng.choices(kinds, [_REALTIME_WEIGHTS[k] for k in kinds])[0]
    now = ((t_s, t_s),)
    if kind == "background":
        return _background_now("realtime", stream, t_s)
    if kind == "count":
        if len(active) >= 4:
            return None
        text, number = "How many objects are visible now?", str(len(active))
        return Question("realtime", kind, text, number, "count", t_s, now, pool=tuple(COUNTS[:4]))
    if kind == "yes_no":
        return _is_it_visible(shapes, t_s, rng)
    if kind == "digit":
        if len(digits) > 1:
            return None
        text = "Which digit is visible now?"
        return Question("realtime", kind, text, digits[0].kind, "digit", t_s, now, about=digits[0])
    if kind == "digit_cell":
        e = rng.choice(digits)
        text = f"Where is the {e.name} now?"
        return Question("realtime", "cell", text, CELLS[e.cell], "cell", t_s, now, about=e)
    e = rng.choice(shapes)
    if kind == "color":
        text = f"What color is the {e.kind} now?"
        return Question("realtime", kind, text, e.color, "color", t_s, now, about=e)
    if kind == "cell":
        text = f"Where is the {e.kind} now?"
        return Question("realtime", kind, text, CELLS[e.cell], "cell", t_s, now, about=e)
    if sum(x.color == e.color for x in shapes) > 1:
        return None
    text = f"Which shape is {e.color} now?"
    return Question("realtime", kind, text, e.kind, "shape", t_s, now, about=e)


def _background_now(task: str, stream: Stream, t_s: float) -> Question:
    text, answer = "What color is the background now?", stream.background(t_s)
    return Question(task, "background", text, answer, "background", t_s, ((t_s, t_s),))


def _is_it_visible(shapes: Sequence[Episode], t_s: float, rng: random.Random) -> Question:
    """Half are true; half of the others have a shape that is visible, in a colour drawn anew."""
    if rng.random() < 0.5 and shapes:
        e = rng.choice(shapes)
        color, kind = e.color, e.kind
    elif shapes and rng.random() < 0.5:
        color, kind = rng.choice(COLOR_NAMES), rng.choice(shapes).kind
    else:
        color, kind = rng.choice(COLOR_NAMES), rng.choice(SHAPES)
    answer = "yes" if any(e.color == color and e.kind == kind for e in shapes) else "no"
    text = f"Is a {color} {kind} visible now?"
    return Question("realtime", "yes_no", text, answer, "yes_no", t_s, ((t_s, t_s),))


# -- clue: about an object that is gone
# -------------------------------------------------------------

_CLUE_WEIGHTS = {"color": 3, "shape": 2, "when": 2, "cell": 3}


def clue(stream: Stream, t_s: float, rng: random.Random, gap_s: float) -> Question | None:
    """About an object that left at least `gap_s` ago, by a description unique in `[0, t_s]`."""
    past = _seen_until(stream, t_s)
    old = [e for e in past if e.end_s <= t_s - gap_s]
    if not old:
        return None
    kinds, colors = Counter(e.kind for e in past), Counter(e.color for e in past)
    names = Counter((e.kind, e.color) for e in past)
    old_shapes = [e for e in old if not e.is_digit]
    unique = [e for e in old if names[e.kind, e.color] == 1]
    candidates = {
        "color": [e for e in old_shapes if kinds[e.kind] == 1],
        "shape": [e for e in old_shapes if colors[e.color] == 1],
        "when": [e for e in unique if _background_during(stream, e, t_s)],
        "cell": unique,
    }
    possible = [kind for kind, episodes in candidates.items() if episodes]
    if not possible:
        return None
    kind = rng.choices(possible, [_CLUE_WEIGHTS[k] for k in possible])[0]
    e = rng.choice(candidates[kind])
    evidence = ((e.start_s, e.end_s),)
    if kind == "color":
        text = f"What color was the {e.kind}?"
        return Question("clue", kind, text, e.color, "color", t_s, evidence, about=e)
    if kind == "shape":
        text = f"Which shape was {e.color}?"
        return Question("clue", kind, text, e.kind, "shape", t_s, evidence, about=e)
    short = kinds[e.kind] == 1 and not e.is_digit and rng.random() < 0.5
    name = e.kind if short else e.name
    if kind == "cell":
        text = f"Where was the {name}?"
        return Question("clue", kind, text, CELLS[e.cell], "cell", t_s, evidence, about=e)
    text = f"What color was the background when the {name} was visible?"
    answer = stream.background(e.start_s + _EDGE_S)
    return Question("clue", kind, text, answer, "background", t_s, evidence, about=e)


def _background_during(stream: Stream, episode: Episode, t_s: float) -> bool:
    """Whether the background was the same at both ends of what was seen of the episode."""
    last = min(episode.end_s, t_s) - _EDGE_S
    return stream.background(episode.start_s + _EDGE_S) == stream.background(last)


def _seen_until(stream: Stream, t_s: float) -> list[Episode]:
    return [e for e in stream.episodes if e.start_s <= t_s]


# -- reasoning: about the whole past
# ----------------------------------------------------------------


def reasoning(stream: Stream, t_s: float, rng: random.Random, gap_s: float) -> Question | None:
    """How often something happened, which of two things came first or more often."""
    past = _seen_until(stream, t_s)
    kind = rng.choice(["count", "count", "first", "more", "background_changes"])
    if kind == "first":
        return _which_first(past, t_s, rng)
    if kind == "background_changes":
        return _background_changes(stream, t_s)
    counts = {shape: sum(e.kind == shape for e in past) for shape in SHAPES}
    if kind == "count":
        return _how_often(past, counts, t_s, rng)
    return _which_more_often(past, counts, t_s, rng)


def _how_often(
    past: Sequence[Episode], counts: Mapping[str, int], t_s: float, rng: random.Random
) -> Question | None:
    possible = sorted({n for n in counts.values() if n < len(COUNTS)})
    # One draw either way: the sequence of draws is part of the world's definition.
    number = rng.choice(possible or [-1])
    if number < 0:
        return None
    shape = rng.choice([s for s in SHAPES if counts[s] == number])
    evidence = tuple((e.start_s, min(e.end_s, t_s)) for e in past if e.kind == shape)
    text = f"How many times did a {shape} appear?"
    return Question("reasoning", "count", text, str(number), "count", t_s, evidence)


def _which_first(past: Sequence[Episode], t_s: float, rng: random.Random) -> Question | None:
    first: dict[str, Episode] = {}
    for e in past:
        if not e.is_digit:
            first.setdefault(e.kind, e)
    if len(first) < 2:
        return None
    a, b = rng.sample(list(first.values()), 2)
    if abs(a.start_s - b.start_s) < 3:
        return None
    answer = min(a, b, key=lambda e: e.start_s).kind
    text = f"Which appeared first, the {a.kind} or the {b.kind}?"
    evidence = ((a.start_s, a.end_s), (b.start_s, b.end_s))
    pool = (a.kind, b.kind)
    return Question("reasoning", "first", text, answer, "shape", t_s, evidence, pool=pool)


def _which_more_often(
    past: Sequence[Episode], counts: Mapping[str, int], t_s: float, rng: random.Random
) -> Question | None:
    a, b = rng.sample(SHAPES, 2)
    if counts[a] == counts[b]:
        return None
    answer = a if counts[a] > counts[b] else b
    text = f"Which appeared more often, the {a} or the {b}?"
    evidence = tuple((e.start_s, min(e.end_s, t_s)) for e in past if e.kind in (a, b))
    return Question("reasoning", "more", text, answer, "shape", t_s, evidence, pool=(a, b))


def _background_changes(stream: Stream, t_s: float) -> Question | None:
    changes = [b.start_s for b in stream.backgrounds[1:] if b.start_s <= t_s]
    if not 0 < len(changes) < len(COUNTS):
        return None
    text, number = "How many times did the background change?", str(len(changes))
    evidence, pool = tuple((t, t) for t in changes), tuple(COUNTS[1:])
    kind = "background_changes"
    return Question("reasoning", kind, text, number, "count", t_s, evidence, pool=pool)


# -- sequential: a dialogue
# -------------------------------------------------------------------------

_DIALOGUE_GAP_S = 4.0


def sequential(stream: Stream, t_s: float, rng: random.Random, gap_s: float) -> Question | None:
    """The second turn of a dialogue whose first turn named an object; `about` is that object."""
    past = [e for e in _seen_until(stream, t_s) if not e.is_digit]
    gone = [e for e in past if e.end_s <= t_s - _DIALOGUE_GAP_S]
    kinds = Counter(e.kind for e in past)
    candidates = [e for e in gone if kinds[e.kind] == 1]
    if not candidates:
        return None
    e = rng.choice(candidates)
    kind = rng.choice(["color", "color", "cell", "cell", "still"])
    if kind == "still":
        return _still_visible(past, t_s, rng)
    evidence, history = ((e.start_s, e.end_s),), ((OPENING, e.kind),)
    if kind == "color":
        text, answer = "What color was it?", e.color
    else:
        text, answer = "Where was it?", CELLS[e.cell]
    return Question("sequential", kind, text, answer, kind, t_s, evidence, history, about=e)


def _still_visible(past: Sequence[Episode], t_s: float, rng: random.Random) -> Question:
    e = rng.choice(past)
    if rng.random() < 0.5:
        e = rng.choice([x for x in past if x.end_s > t_s] or past)
    visible = any(x.kind == e.kind and x.visible_at(t_s) for x in past)
    text, answer, history = "Is it still visible?", "yes" if visible else "no", ((OPENING, e.kind),)
    now = ((t_s, t_s),)
    return Question("sequential", "still", text, answer, "yes_no", t_s, now, history, about=e)


# -- proactive: one poll of a standing instruction
# --------------------------------------------------


def proactive(stream: Stream, t_s: float, rng: random.Random, gap_s: float) -> Question:
    """One poll of a standing instruction: is it time now?"""
    active, past = stream.active(t_s), _seen_until(stream, t_s)
    kind = rng.choice(["see", "see", "digit", "nth", "nth"])
    number = 1
    if kind == "nth":
        number = rng.choice([2, 2, 3])
        counts = Counter(e.kind for e in past)
        near = [s for s in SHAPES if counts[s] in (number - 1, number)]
        target = rng.choice(near if near and rng.random() < 0.7 else SHAPES)
    else:
        pool = DIGITS if kind == "digit" else SHAPES
        if rng.random() < 0.5:
            target = rng.choice([e.kind for e in active if e.kind in pool] or pool)
        else:
            target = rng.choice(pool)
    condition = Condition(kind, target, number)
    answer = "yes" if condition.holds(stream, t_s) else "no"
    if kind == "nth":
        evidence = tuple((e.start_s, min(e.end_s, t_s)) for e in past if e.kind == target)
    else:
        evidence = ((t_s, t_s),)
    key = str(number)
    return Question(
        "proactive", kind, condition.instruction, answer, "yes_no", t_s, evidence, key=key
    )


Generator = Callable[[Stream, float, random.Random, float], Question | None]
GENERATORS: Mapping[str, Generator] = {
    "realtime": realtime,
    "clue": clue,
    "reasoning": reasoning,
    "sequential": sequential,
    "proactive": proactive,
}
