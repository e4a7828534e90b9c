"""Names of backends, routers and encoders: lazy, extensible, and clear when they are wrong."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsb.benchmarks.build import BENCHMARKS
from dsb.errors import MissingDependency, RegistryError
from dsb.models.backend import BackendKind
from dsb.models.build import BACKENDS
from dsb.registry import Registry
from dsb.routing.build import ROUTERS
from dsb.routing.router import RouterKind
from paths import ROOT

PACKAGE = ROOT / "python" / "dsb"


def make(**builtin: str) -> Registry[object]:
    return Registry("thing", "dsb.things", builtin)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution, as pip leaves it, that adds to the group `dsb.things`."""
    info = tmp_path / "some_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: some-plugin\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        "[dsb.things]\nplugged = some_plugin:THING\n", encoding="utf-8"
    )
    (tmp_path / "some_plugin.py").write_text("THING = 42\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "some_plugin", raising=False)
    importlib.invalidate_caches()
    return info


def test_a_name_is_imported_when_it_is_asked_for(plugin: Path) -> None:
    registry = make(mine="some_plugin:THING")
    assert "some_plugin" not in sys.modules
    assert registry.load("mine") == 42


def test_other_packages_add_names(plugin: Path) -> None:
    registry = make(join="os:path.join")
    assert registry.names() == ["join", "plugged"]
    assert registry.load("plugged") == 42


def test_a_collision_names_both_sides(plugin: Path) -> None:
    registry = make(plugged="os:path")
    with pytest.raises(
        RegistryError,
        match=r"'plugged': os:path \(dsb itself\) and some_plugin:THING \(some-plugin\)",
    ):
        registry.names()


def test_the_same_entry_twice_is_no_collision() -> None:
    registry = make(join="os:path.join")
    registry.register("join", "os:path.join")
    with pytest.raises(RegistryError, match=r"os:path\.join \(dsb itself\) and os:sep \(my test\)"):
        registry.register("join", "os:sep", origin="my test")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(RegistryError, match=r"no backend is called 'qwenn'; did you mean 'qwen'\?"):
        BACKENDS.load("qwenn")
    with pytest.raises(RegistryError, match="known: always_s1, always_s2"):
        ROUTERS.load("xyz")


@pytest.mark.parametrize("target", ["os", "os:", ":path", ""])
def test_a_target_has_a_module_and_an_attribute(target: str) -> None:
    with pytest.raises(RegistryError, match="module:attribute"):
        make(bad=target)


@pytest.mark.parametrize("target", ["os:no_such_name", "no_such_module:x", "os.no_such_part:x"])
def test_an_entry_that_points_at_nothing_is_named(target: str) -> None:
    with pytest.raises(RegistryError, match=f"'bad' of dsb itself points at {target}"):
        make(bad=target).load("bad")


def test_a_missing_dependency_is_not_taken_for_a_wrong_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_package_nobody_has\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        MissingDependency, match=r"'mine' of dsb itself .*'a_package_nobody_has'; install"
    ):
        make(mine="needs_more:x").load("mine")


def test_a_name_is_required_without_an_import(plugin: Path) -> None:
    make().require("plugged")
    assert "some_plugin" not in sys.modules


def test_a_name_of_a_package_that_is_not_here_says_what_to_install() -> None:
    where = rf"install that package \(its entry point is one of dsb\.things\) for {sys.executable}"
    with pytest.raises(RegistryError, match=where):
        make(join="os.path:join").require("plugged")


@pytest.mark.parametrize(
    ("registry", "target", "what"),
    [
        (ROUTERS, "dsb.routing.routers.constant:Constant", "a class"),
        (BACKENDS, "os:sep", "of the class str"),
        # Although a class has all that a benchmark has.
        (BENCHMARKS, "dsb.benchmarks.item_files:ItemFiles", "a class"),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_an_entry_that_points_at_another_kind_of_thing_is_named(
    registry: Registry[object], target: str, what: str
) -> None:
    wrong = Registry(registry.kind, registry.group, {"mine": target}, registry.holds)
    message = rf"points at {re.escape(target)}, which is {what}; name an instance of [RB]\w+"
    with pytest.raises(RegistryError, match=message):
        wrong.load("mine")


def registries() -> list[Registry[object]]:
    """Every registry of the package, wherever a module makes one."""
    makes = re.compile(r"^([A-Z_]+)(?:: Registry\b| = Registry\()", re.MULTILINE)
    found = []
    for file in PACKAGE.rglob("*.py"):
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        names = makes.findall(file.read_text("utf-8"))
        found += [getattr(importlib.import_module(module), name) for name in names]
    return found


def test_every_name_of_the_package_leads_to_a_thing_of_its_kind() -> None:
    found = {registry.kind: registry for registry in registries()}
    assert found.keys() >= {"backend", "benchmark", "encoder", "router"}
    for kind, registry in found.items():
        assert registry.names(), kind
        for name in registry.names():
            thing = registry.load(name)
            # Benchmarks are there, encoders are made by a factory, and the others say more than how they are made.
            wanted = {"backend": BackendKind, "router": RouterKind}.get(kind, Callable)
            assert isinstance(thing.grade if kind == "benchmark" else thing, wanted), (kind, name)
