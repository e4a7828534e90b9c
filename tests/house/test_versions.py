"""The ranges of the dependencies, their oldest versions, and the committed set that passes."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lower_bounds import declared, oldest
from passing_versions import needed
from paths import ROOT

CONSTRAINTS = ROOT / "constraints.txt"


def test_the_oldest_version_is_the_lower_bound_itself():
    assert oldest(["torch>=2.9,<3", "pyyaml>=6.0", "tokenizers>=0.23.1"]) == [
        "torch==2.9",
        "pyyaml==6.0",
        "tokenizers==0.23.1",
    ]


@pytest.mark.parametrize("requirement", ["torch", "torch<3", "torch~=2.9", "torch>=2.9,!=2.10"])
def test_a_requirement_without_a_plain_lower_bound_is_refused(requirement):
    with pytest.raises(ValueError, match=re.escape(requirement)):
        oldest([requirement])


def test_every_dependency_has_an_oldest_version_in_its_range():
    pins = [Requirement(pin) for pin in oldest(declared())]
    for pin, wanted in zip(pins, map(Requirement, declared()), strict=True):
        (version,) = pin.specifier
        assert (pin.name, wanted.specifier.contains(version.version)) == (wanted.name, True)


def test_the_committed_versions_are_in_the_ranges_and_of_no_index_in_particular():
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)
    for wanted in map(Requirement, declared()):
        (version,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(version.version), wanted.name


def test_what_is_needed_includes_what_others_need_and_not_what_happens_to_be_here():
    found = needed("dualstreambench", ("test",))
    # torch brings sympy, pytest brings pluggy; mypy is of the extra `dev`, pip is only there.
    assert {"numpy", "torch", "sympy", "pytest", "pluggy"} <= found.keys()
    assert not {"dualstreambench", "mypy", "pip"} & found.keys()
    assert not any("+" in version for version in found.values())
