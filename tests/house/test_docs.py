"""What the pages name is there: files, folders and modules, in prose and in commands."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

import dsb
from import_graph import Package
from paths import PAGES, ROOT, sources

#: Folders of the checkout that pages name by their whole path.
ROOMS = ("benches", "configs", "docs", "examples", "python", "rust", "tests")
#: Made by what the page tells to run.
MADE = {"rust/fuzz/corpus"}
#: Groups of entry points, which are called as modules are.
GROUPS = {"dsb.backends", "dsb.encoders", "dsb.routers"}

#: A file by its name or the end of its path.
FILE = re.compile(r"(?<![\w./*-])[a-z_][\w/-]*\.(?:py|pyi|rs)\b")
PLACE = re.compile(rf"(?<![\w./-])(?:{'|'.join(ROOMS)})/[\w./-]*+(?![<*{{])")
MODULE = re.compile(r"(?<![\w./-])dsb(?:\.[a-zA-Z_]\w*)+")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_names_that_lead_nowhere_are_found() -> None:
    text = (
        "See `stream/source.py`, python/dsb/gone/ and `dsb.stream.window.union_rate`, or run\n"
        "`python benches/nothing.py`; dsb.stream.missing and dsb.stream.window.square are not there.\n"
        "What stands for many, as benches/NAME.py and configs/config_<family>.yaml do, is no name."
    )
    assert missing(text) == [
        "benches/nothing.py",
        "dsb.stream.missing",
        "dsb.stream.window.square",
        "python/dsb/gone",
    ]


def missing(text: str) -> list[str]:
    """Names of the text that lead nowhere, in alphabetical order; a word in capitals stands for any."""
    places = (name.rstrip("./") for name in PLACE.findall(text))
    gone = {name for name in places if not (ROOT / name).exists()} - MADE
    gone |= {name for name in FILE.findall(text) if not is_tail(name)}
    gone |= {name for name in MODULE.findall(text) if not defined(name)} - GROUPS
    return sorted(name for name in gone if not PurePosixPath(name).stem.isupper())


def is_tail(name: str) -> bool:
    """Whether a file of the checkout has this name, or a path that ends like this."""
    return any(path.match(name) for path in code())


@cache
def code() -> list[Path]:
    return list(sources(*ROOMS))


def defined(name: str) -> bool:
    """Whether a dotted name is a module of the package, or what a module defines at its top, or public."""
    files = package().files
    if name in files or name.removeprefix("dsb.") in dsb.__all__:
        return True
    module, _, attribute = name.rpartition(".")
    if module not in files:
        return False
    text = files[module].read_text(encoding="utf-8")
    return bool(re.search(rf"^(?:class |def )?{attribute}\b", text, re.MULTILINE))


@cache
def package() -> Package:
    return Package(ROOT / "python" / "dsb")
