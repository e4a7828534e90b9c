"""An arm has one name in files and tables, and comes back from it."""

from __future__ import annotations

import pytest

from dsb.analysis.arm import S1, S2, Arm


@pytest.mark.parametrize(
    ("text", "arm", "heading"),
    [
        ("s1", S1, "S1"),
        ("s2", S2, "S2"),
        ("blind", Arm("blind"), "blind"),
        ("router:rule", Arm("rule", routes=True), "router:rule"),
        ("router:s1", Arm("s1", routes=True), "router:s1"),
        ("router:a:b", Arm("a:b", routes=True), "router:a:b"),
    ],
)
def test_a_name_is_an_arm_and_an_arm_its_name(text: str, arm: Arm, heading: str) -> None:
    assert Arm.of(text) == arm
    assert str(arm) == text
    assert arm.heading == heading


def test_only_the_control_is_blind() -> None:
    assert Arm("blind").blind
    assert not Arm("blind", routes=True).blind
    assert not S1.blind
