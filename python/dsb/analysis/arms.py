"""Arms: what S1, S2, the blind control and every router would have delivered, from one log.

A router's arm is a choice between answers that are in the log (replay level R0): exact as long as answers do not
depend on routes, which holds because memory writes do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsb.analysis.arm import Arm
from dsb.benchmarks.grading import Delivered
from dsb.benchmarks.item import Item
from dsb.benchmarks.scoring.alerts import alerts
from dsb.runlog.run_data import CallTotals, RunData, Ticks


@dataclass(frozen=True)
class Outcome:
    """What one arm delivered for one item, and at what cost."""

    item: Item
    arm: Arm
    #: Answer of a question; `None` when it failed or for a standing instruction.
    text: str | None
    #: Scores per tick of a standing instruction; `None` when it failed or for a question.
    ticks_ns: tuple[int, ...] | None
    tick_scores: tuple[float | None, ...] | None
    tick_states: tuple[str, ...]
    confidence: float | None
    #: Wall time of a question, or of each tick.
    service_ns: tuple[int, ...]
    input_tokens: int
    output_tokens: int
    #: Decisions that went to S2, and all decisions.
    to_s2: int
    decisions: int

    @property
    def failed(self) -> bool:
        """Nothing was delivered."""
        return self.text is None and self.tick_scores is None

    def as_graded(self, threshold: float, rearm_ticks: int) -> Delivered:
        """What a scorer sees: `threshold` and `rearm_ticks` turn the scores of ticks into alerts."""
        if self.ticks_ns is None or self.tick_scores is None:
            return Delivered(self.text)
        ticks_s = [tick / 1e9 for tick in self.ticks_ns]
        # An unknown tick neither speaks nor counts as quiet.
        scores = [
            score if state == "processed" else None
            for score, state in zip(self.tick_scores, self.tick_states, strict=True)
        ]
        spoken = alerts(ticks_s, scores, threshold, rearm_ticks=rearm_ticks, once=self.item.once)
        return Delivered(None, tuple(spoken), ticks_s[-1])


def arms(data: RunData) -> list[Arm]:
    """The arms that a run can be scored for.

    A single system is an arm only where it answered every item that did not fail.
    """
    everywhere = [
        name
        for name in data.systems
        if all((item, name) in data.failures or _has(data, item, name) for item in data.asked)
    ]
    routers = [Arm(label, routes=True) for label in data.routers]
    return [*map(Arm, everywhere), *routers]


def _has(data: RunData, item: str, system: str) -> bool:
    if (item, system) in data.answers:
        return True
    ticks = data.ticks.get((item, system))
    if ticks is None:
        return False
    # With `collect: routed` a system may have had some of the ticks only.
    asked = {tick for name in data.systems for tick in _moments(data, item, name)}
    return asked == set(ticks.ticks_ns)


def _moments(data: RunData, item: str, system: str) -> list[int]:
    return data.ticks.get((item, system), Ticks()).ticks_ns


def outcome(data: RunData, item: Item, arm: Arm) -> Outcome:
    """What `arm` delivered for `item`."""
    if item.format == "event":
        return _of_ticks(data, item, arm)
    return _of_question(data, item, arm)


def _nothing(item: Item, arm: Arm) -> Outcome:
    return Outcome(item, arm, None, None, None, (), None, (), 0, 0, 0, 0)


def _of_question(data: RunData, item: Item, arm: Arm) -> Outcome:
    routing_ns, systems = 0, [arm.name]
    if arm.routes:
        routing = data.routes.get((item.id, arm.name))
        if routing is None or not routing.actions:
            return _nothing(item, arm)
        routing_ns = routing.service_ns
        # After S1 means that S1's answer has been paid for whoever answers in the end.
        systems = ["s1"] if routing.stage == "after_s1" else []
        systems += [action for action in routing.actions[:1] if action not in systems]
    answer = data.answers.get((item.id, systems[-1]))
    if answer is None:
        return _nothing(item, arm)
    totals = [data.calls.get((item.id, system), CallTotals()) for system in systems]
    service = sum(a.service_ns for s in systems if (a := data.answers.get((item.id, s))))
    return Outcome(
        item,
        arm,
        answer.text,
        None,
        None,
        (),
        answer.confidence,
        (service + routing_ns,),
        sum(total.input_tokens for total in totals),
        sum(total.output_tokens for total in totals),
        int(systems[-1] == "s2"),
        1,
    )


def _of_ticks(data: RunData, item: Item, arm: Arm) -> Outcome:
    if not arm.routes:
        ticks = data.ticks.get((item.id, arm.name))
        if ticks is None:
            return _nothing(item, arm)
        return _ticks(item, arm, ticks, [arm.name] * len(ticks.ticks_ns))
    routing = data.routes.get((item.id, arm.name))
    fast = data.ticks.get((item.id, "s1"), Ticks())
    slow = data.ticks.get((item.id, "s2"), Ticks())
    if routing is None or not routing.actions:
        return _nothing(item, arm)
    merged = _merge(fast, slow, routing.actions, paid_s1=routing.stage == "after_s1")
    return _nothing(item, arm) if merged is None else _ticks(item, arm, merged, routing.actions)


def _merge(fast: Ticks, slow: Ticks, actions: Sequence[str], *, paid_s1: bool) -> Ticks | None:
    at = {"s1": _by_tick(fast), "s2": _by_tick(slow)}
    moments = sorted(set(fast.ticks_ns) | set(slow.ticks_ns))
    if len(moments) != len(actions):
        return None
    merged = Ticks()
    for moment, action in zip(moments, actions, strict=True):
        chosen = at[action].get(moment)
        if chosen is None:
            return None
        state, decided, score, service = chosen
        if paid_s1 and action == "s2" and moment in at["s1"]:
            service += at["s1"][moment][3]
        merged.ticks_ns.append(moment)
        merged.states.append(state)
        merged.actions.append(decided)
        merged.scores.append(score)
        merged.service_ns.append(service)
    return merged


def _by_tick(ticks: Ticks) -> dict[int, tuple[str, str, float | None, int]]:
    rows = zip(ticks.states, ticks.actions, ticks.scores, ticks.service_ns, strict=True)
    return dict(zip(ticks.ticks_ns, rows, strict=True))


def _ticks(item: Item, arm: Arm, ticks: Ticks, actions: Sequence[str]) -> Outcome:
    if "processed" not in ticks.states:
        # Every tick failed: that is no silence.
        return _nothing(item, arm)
    return Outcome(
        item,
        arm,
        None,
        tuple(ticks.ticks_ns),
        tuple(ticks.scores),
        tuple(ticks.states),
        None,
        tuple(ticks.service_ns),
        0,
        0,
        sum(action == "s2" for action in actions),
        len(actions),
    )
