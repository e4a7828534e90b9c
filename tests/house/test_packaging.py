"""What the package promises about itself agrees everywhere."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

import dsb
from children import run
from dsb.benchmarks.item import Item
from dsb.config.load import PACKAGED
from dsb.config.reference import reference_yaml
from dsb.config.schema import RunConfig
from paths import PAGES, ROOT
from release_contents import check, tracked

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_config_yaml_is_what_the_schema_says():
    assert (ROOT / "configs" / "config.yaml").read_text() == reference_yaml(), (
        "run: python -m dsb.config.reference configs/config.yaml"
    )


def test_config_yaml_holds_every_key_with_its_default():
    import yaml

    values = yaml.safe_load(reference_yaml())
    assert RunConfig.model_validate(values) == RunConfig()
    assert list(values) == list(RunConfig.model_fields)


def test_the_package_brings_all_configurations_along():
    assert PACKAGED.resolve() == ROOT / "configs"


def test_wheels_hold_what_links_to_folders_show():
    included = PYPROJECT["tool"]["maturin"]["include"]
    found = {path for pattern in included for path in ROOT.glob(pattern)}
    links = [path for path in (ROOT / "python" / "dsb").rglob("*") if path.is_symlink()]
    assert PACKAGED in links
    assert found == {file for link in links for file in link.iterdir()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what belongs there is what git tracks")
def test_the_sdist_holds_every_file_of_the_package_and_no_other(tmp_path):
    manifest = ROOT / "rust" / "dsb-py" / "Cargo.toml"
    command = ["maturin", "sdist", "--manifest-path", manifest, "--out", tmp_path]
    run(command, check=True)
    (sdist,) = tmp_path.iterdir()
    # A file that is about to be added is not stray.
    paths = tracked("--cached", "--others", "--exclude-standard")
    assert check(sdist, paths) == []


def test_the_version_is_the_same_everywhere():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert PYPROJECT["project"]["version"] == dsb.__version__
    assert cargo["workspace"]["package"]["version"] == dsb.__version__
    assert re.search(rf"^## {re.escape(dsb.__version__)}\b", changelog(), re.MULTILINE)


def test_the_compiled_core_is_of_this_version():
    from dsb import _core

    assert _core.__version__ == dsb.__version__


def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text()


def test_the_extra_all_holds_every_extra_that_is_still_supported():
    extras = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    assert named == set(extras) - {"all", "google-legacy"}


def test_the_item_in_own_videos_yaml_is_valid():
    text = (ROOT / "configs" / "own_videos.yaml").read_text()
    (item,) = example_items("\n".join(line.removeprefix("#") for line in text.splitlines()))
    assert item.video == "videos/kitchen.mp4"


def test_the_items_in_the_readme_are_valid():
    question, instruction = example_items((ROOT / "README.md").read_text())
    assert (question.format, instruction.format) == ("choice", "event")


def example_items(text: str) -> list[Item]:
    (example,) = re.findall(r'\{"schema".*?\]\}\n', text, re.DOTALL)
    return [Item.model_validate(item) for item in json.loads(example)["items"]]


def test_links_between_pages_lead_somewhere():
    pages = [*PAGES, ROOT / "CHANGELOG.md"]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_documentation_of_items_names_every_field():
    text = (ROOT / "docs" / "items.md").read_text()
    table = text.split("## Fields")[1].split("## How")[0]
    assert first_column(table) == set(Item.model_fields)


def test_the_documentation_of_the_run_directory_names_every_kind_and_every_key():
    from typing import get_args

    from dsb.analysis.summary.schema import Summary
    from dsb.runlog.records import Record

    text = (ROOT / "docs" / "run-log.md").read_text()
    named = first_column(text)
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(Record)[0])}
    keys = {info.alias or name for name, info in Summary.model_fields.items()}
    assert kinds <= named
    assert keys <= named


def first_column(text: str) -> set[str]:
    """The names in backquotes in the first column of all tables."""
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
