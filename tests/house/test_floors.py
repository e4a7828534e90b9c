"""The house stands: imports point down and in no circle, every part has its floor, no file is too long."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from floors import Complaint, Floors, lost, misplaced, rounds, upward
from import_graph import Import, Package, circles
from paths import ROOT, sources

FLOORS: Floors = {
    "dsb": (
        ("cli",),
        ("reports", "doctor"),
        ("experiments",),
        ("analysis",),
        ("evaluation",),
        ("systems",),
        ("routing",),
        ("memory",),
        ("runlog",),
        ("models",),
        ("benchmarks",),
        ("stream",),
        ("config",),
        ("registry",),
        ("atomic",),
        ("errors",),
        ("_core",),
        ("_core_stubs",),
        ("__init__",),
    ),
    "dsb.models.local": (
        ("checkup",),
        ("backend",),
        ("identify",),
        ("conversation",),
        ("checkpoint",),
        ("engine",),
        ("vision",),
        ("families",),
        ("__init__",),
    ),
    "dsb.evaluation": (("*",), ("executors",), ("session",), ("plan",), ("__init__",)),
}
MOST_LINES = 400


@pytest.fixture(scope="module")
def dsb() -> Package:
    return Package(ROOT / "python" / "dsb")


def texts(complaints: Sequence[Complaint]) -> list[str]:
    return [each.text for each in complaints]


def test_imports_point_down(dsb: Package) -> None:
    assert texts(upward(dsb, FLOORS)) == []


def test_no_module_imports_itself_by_way_of_others(dsb: Package) -> None:
    assert texts(rounds(dsb)) == []


def test_every_import_says_which_module_it_needs(dsb: Package) -> None:
    assert texts(lost(dsb)) == []


def test_every_part_of_the_package_has_its_floor(dsb: Package) -> None:
    assert texts(misplaced(dsb, FLOORS)) == []


def test_the_house_rules_name_the_floors_in_their_order() -> None:
    rules = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (rule,) = re.findall(r"^- Imports point down: (.*?)\.\s", rules, re.DOTALL | re.MULTILINE)
    named = [name.removesuffix(".py") for name in re.findall(r"`([\w.]+)`", rule)]
    assert [*named, "__init__"] == [name for floor in FLOORS["dsb"] for name in floor]


def test_no_file_is_too_long() -> None:
    assert texts(too_long()) == []


def too_long() -> list[Complaint]:
    found = []
    for path in sources("python/dsb", "rust", "benches", "examples", "tests"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            name = path.relative_to(ROOT).as_posix()
            text = (
                f"{name} has {lines} lines, more than {MOST_LINES}; give each of its ideas a file"
            )
            found.append(Complaint(name, text))
    return found


# -- the checks themselves, on a house that is built wrong ---------------------------------------

PLANTED: Mapping[str, str] = {
    "__init__.py": "VERSION = 1\n",
    "roof/__init__.py": "from house.roof.tiles import TILES as RED\n",
    "roof/tiles.py": "from house.cellar import shelf\nTILES = 1\n",
    "cellar/__init__.py": "",
    "cellar/shelf.py": "from house import VERSION\n",
    "cellar/wine.py": "def drink():\n    from house.roof import RED\n",
    "cellar/beer.py": "if TYPE_CHECKING:\n    import house.roof.tiles\n",
    "cellar/left.py": "from . import right\n",
    "cellar/right.py": "from .bottom import DEPTH\n",
    "cellar/bottom.py": "from house.cellar.left import right\nDEPTH = 3\n",
    "cellar/dark.py": "from house import LANTERN\n",
    "attic.py": "",
}
PLAN: Floors = {"house": (("roof",), ("cellar",), ("__init__",))}


@pytest.fixture
def house(tmp_path: Path) -> Package:
    root = tmp_path / "house"
    for name, text in PLANTED.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(root)


def test_an_import_from_above_is_found_wherever_it_hides(house: Package) -> None:
    """For types alone, inside a function, and by a name that an `__init__` passes on."""
    assert [each.fault for each in upward(house, PLAN)] == [
        "house.cellar.beer -> house.roof.tiles",
        "house.cellar.wine -> house.roof.tiles",
    ]


def test_a_complaint_names_both_modules_the_line_and_the_remedy(house: Package) -> None:
    beer, _ = upward(house, PLAN)
    assert beer.text == (
        "house/cellar/beer.py:2: house.cellar.beer imports house.roof.tiles, but cellar stands below roof; "
        "move what it needs down to cellar or further, or let roof hand it over as an argument"
    )


def test_a_circle_is_found_with_every_step(house: Package) -> None:
    (circle,) = rounds(house)
    way = ("bottom", "left", "right", "bottom")
    assert circle.fault == " -> ".join(f"house.cellar.{name}" for name in way)
    assert (
        "house/cellar/right.py:1 imports house.cellar.bottom; give what they share" in circle.text
    )


def test_two_circles_through_one_module_are_both_found() -> None:
    pairs = ["ab", "ba", "bc", "cb", "cd"]
    found = circles([Import(importer, 1, imported) for importer, imported in pairs])
    assert [[each.importer for each in circle] for circle in found] == [["a", "b"], ["b", "c"]]


def test_a_name_that_only_running_could_find_is_refused(house: Package) -> None:
    (dark,) = lost(house)
    assert dark.fault == "house.cellar.dark -> house.LANTERN"


def test_a_new_part_must_be_placed_and_one_that_is_gone_leaves(house: Package) -> None:
    plan = {"house": (*PLAN["house"], ("moat",))}
    assert [each.fault for each in misplaced(house, plan)] == ["house.attic", "house.moat"]
    assert misplaced(house, {"house": (("*",), ("cellar",))}) == []
