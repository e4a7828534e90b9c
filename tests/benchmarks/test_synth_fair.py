"""The text of a benchmark question must not give its answer away."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import pytest

from dsb.benchmarks.item import Item
from dsb.benchmarks.scoring.alerts import alerts
from dsb.benchmarks.scoring.events import EventCounts, EventRule, Target, score_events
from dsb.benchmarks.synth.generate import Plan, make_items
from dsb.benchmarks.synth.questions import Question, ask
from dsb.benchmarks.synth.world import make_stream

LEVELS = ("easy", "default", "hard")
#: How far a system that sees nothing may be above chance.
MARGIN = 0.08
TASKS = ("realtime", "clue", "reasoning", "sequential")


@pytest.fixture(scope="module", params=LEVELS)
def items(request: pytest.FixtureRequest) -> list[Item]:
    """The scored questions of 100 streams."""
    made = make_items(Plan(sessions=100, seed=7, level=request.param))
    return [item for item in made if item.scored]


def excess(items: Iterable[Item], guess: Callable[[Item], str | None]) -> float:
    """Accuracy of a guesser minus the chance of a uniform guess."""
    outcomes = []
    for item in items:
        assert item.answer is not None
        assert item.chance is not None
        outcomes.append((guess(item) == item.answer.text) - item.chance)
    return sum(outcomes) / len(outcomes)


def look(item: Item) -> tuple[str, str]:
    return item.category, item.format


@pytest.mark.parametrize("task", TASKS)
def test_the_most_frequent_answer_is_no_better_than_chance(items: list[Item], task: str) -> None:
    asked = [item for item in items if item.task == task]
    answers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for item in asked:
        answers[look(item)][item.answer.text if item.answer else ""] += 1

    def majority(item: Item) -> str:
        # Even with the answers to this very benchmark in hand.
        likely = item.options or item.space
        return max(likely, key=lambda word: answers[look(item)][word])

    assert excess(asked, majority) <= MARGIN


@pytest.mark.parametrize("task", TASKS)
def test_the_most_frequent_letter_is_no_better_than_chance(items: list[Item], task: str) -> None:
    asked = [item for item in items if item.task == task and item.options]
    for letter in range(4):
        hits = [item for item in asked if item.answer and item.answer.option == letter]
        expected = sum(item.chance or 0 for item in asked if len(item.options or ()) > letter)
        assert len(hits) <= expected + MARGIN * len(asked)


@pytest.fixture(scope="module")
def text_prior() -> dict[str, Counter[str]]:
    """How often each text has each answer in training data: what a blind model learns."""
    prior: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(200):
        stream = make_stream(seed, 120.0)
        rng = random.Random(seed)
        for _ in range(40):
            question = ask(stream, float(rng.randrange(12, 120)), rng, multiple_choice=0.0)
            if question is not None:
                prior[blind_text(question)][question.answer] += 1
    return prior


def blind_text(question: Question) -> str:
    return " ".join([*(answer for _, answer in question.history), question.text])


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_knows_only_texts_is_no_better_than_chance(
    items: list[Item], text_prior: dict[str, Counter[str]], task: str
) -> None:
    def guess(item: Item) -> str | None:
        history = [turn.answer for turn in item.chain.reference] if item.chain else []
        counts = text_prior.get(" ".join([*history, item.question]), Counter())
        return max(item.options or item.space, key=lambda word: counts[word])

    assert excess([item for item in items if item.task == task], guess) <= MARGIN


def test_every_task_has_open_and_multiple_choice_questions(items: list[Item]) -> None:
    formats = Counter((item.task, item.format) for item in items)
    for task in TASKS:
        assert formats[task, "open"] >= 100
        assert formats[task, "choice"] >= 100


def test_no_kind_of_question_rules_its_task(items: list[Item]) -> None:
    kinds = {"realtime": 7, "clue": 4, "reasoning": 4, "sequential": 3}
    for task, number in kinds.items():
        counts = Counter(item.category for item in items if item.task == task)
        assert len(counts) == number
        assert max(counts.values()) <= 1.5 / number * counts.total() + 3


def guesser_f1(items: Iterable[Item], scores: Callable[[int], float]) -> float:
    total = EventCounts()
    for item in items:
        if item.triggers_s is None:
            continue
        assert item.end_s is not None
        ticks = [float(t) for t in range(int(item.ask_time_s), int(item.end_s) + 1)]
        said = alerts(ticks, [scores(n) for n in range(len(ticks))], once=item.once)
        targets = [Target.at(t) for t in item.triggers_s]
        total += score_events(said, targets, EventRule(1, 1), (ticks[0], ticks[-1]))
    return total.f1 or 0.0


def test_saying_always_the_same_earns_nothing(items: list[Item]) -> None:
    assert guesser_f1(items, lambda tick: 0.0) == 0
    assert guesser_f1(items, lambda tick: 1.0) <= MARGIN


@pytest.mark.parametrize("period", [3, 5, 10])
def test_speaking_at_a_fixed_rate_earns_little(items: list[Item], period: int) -> None:
    assert guesser_f1(items, lambda tick: float(tick % period == 0)) <= 0.12
