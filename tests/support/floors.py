"""Complaints about the imports of a package: from above, in circles, and by names that only running finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from import_graph import Import, Package, circles

#: Package -> its floors from above. What stands on one floor may import each other; `*` is whatever is
#: named on no other floor.
Floors = Mapping[str, Sequence[Sequence[str]]]


class Complaint(NamedTuple):
    """What is wrong: the fault itself, and a text with place and remedy."""

    fault: str
    text: str


def upward(package: Package, floors: Floors) -> list[Complaint]:
    """Imports of what stands on a higher floor, each once."""
    found: dict[str, Complaint] = {}
    for each in package.imports:
        for folder, levels in floors.items():
            low, high = part_of(folder, each.importer), part_of(folder, each.module)
            if low is None or high is None or _height(levels, high) <= _height(levels, low):
                continue
            fault = f"{each.importer} -> {each.module}"
            text = (
                f"{_place(package, each)}: {each.importer} imports {each.module}, but {low} stands below {high}; "
                f"move what it needs down to {low} or further, or let {high} hand it over as an argument"
            )
            found.setdefault(fault, Complaint(fault, text))
    return list(found.values())


def rounds(package: Package) -> list[Complaint]:
    """Circles of imports between modules."""
    found = []
    for circle in circles(package.imports):
        steps = ", ".join(f"{_place(package, each)} imports {each.module}" for each in circle)
        fault = " -> ".join([*(each.importer for each in circle), circle[0].importer])
        remedy = "give what they share a module of its own, below them"
        found.append(Complaint(fault, f"{fault}: {steps}; {remedy}"))
    return found


def lost(package: Package) -> list[Complaint]:
    """Imports of names that an `__init__` finds only when it runs."""
    return [
        Complaint(
            f"{each.importer} -> {each.module}.{each.lost}",
            f"{_place(package, each)}: {each.module} does not say where {each.lost} is from; import it from the "
            "module that defines it",
        )
        for each in package.imports
        if each.lost
    ]


def misplaced(package: Package, floors: Floors) -> list[Complaint]:
    """Parts without a floor, and floors without a part."""
    found = []
    for folder, levels in floors.items():
        parts = {part for module in package.files if (part := part_of(folder, module))}
        named = {name for names in levels for name in names} - {"*"}
        homeless = set() if _has_any(levels) else parts - named
        for name in sorted(homeless):
            text = f"{folder}.{name} has no floor; name it in FLOORS where all that it imports is below"
            found.append(Complaint(f"{folder}.{name}", text))
        for name in sorted(named - parts):
            text = f"{folder}.{name} has a floor but is not there; strike it from FLOORS"
            found.append(Complaint(f"{folder}.{name}", text))
    return found


def part_of(folder: str, module: str) -> str | None:
    """The part of a package in which a module stands; `None` for a module elsewhere."""
    if module == folder:
        return "__init__"
    inner = module.removeprefix(f"{folder}.")
    return None if inner == module else inner.split(".", maxsplit=1)[0]


def _height(levels: Sequence[Sequence[str]], part: str) -> int:
    """0 is the lowest floor; a part that has none is misplaced, and complained about as such."""
    heights = {name: height for height, names in enumerate(reversed(levels)) for name in names}
    return heights.get(part, heights.get("*", 0))


def _has_any(levels: Sequence[Sequence[str]]) -> bool:
    return any("*" in names for names in levels)


def _place(package: Package, at: Import) -> str:
    return f"{package.files[at.importer].relative_to(package.root.parent)}:{at.line}"
