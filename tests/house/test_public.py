"""The namespace `dsb`: small, said the same to people and type checkers, and loaded only where it is used."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import dsb
from children import run
from paths import ROOT

PACKAGE = ROOT / "python" / "dsb"
#: What users call, and what the house is made of; everything else is there because a plugin needs it.
FOR_USERS = {"__version__", "run", "score", "open_run", "load_config", "Router", "Memory"}


def loads(script: str) -> set[str]:
    """The modules that a fresh interpreter loads for `script`."""
    script = f"import sys\nbefore = set(sys.modules)\n{script}\nprint(*set(sys.modules) - before)"
    return set(run([sys.executable, "-c", script], text=True, check=True).stdout.split())


def stub() -> dict[str, object]:
    """Name -> what the stub says that it is."""
    found: dict[str, object] = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            found |= {each.asname or each.name: getattr(module, each.name) for each in node.names}
        elif isinstance(node, ast.Assign):
            found["__all__"] = ast.literal_eval(node.value)
    return found


def used_by_examples() -> set[str]:
    """Names of `dsb` that the examples use."""
    trees = [ast.parse(path.read_text("utf-8")) for path in ROOT.glob("examples/*/*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "dsb"
    }


def test_importing_dsb_loads_nothing_else() -> None:
    assert loads("import dsb") == {"dsb", "__future__"}


def test_no_name_loads_a_library_of_models() -> None:
    loaded = loads("import dsb\nfor name in dsb.__all__: getattr(dsb, name)")
    assert "dsb.analysis.verbs" in loaded
    assert loaded & {"torch", "transformers", "tokenizers", "matplotlib", "rich"} == set()


def test_the_stub_says_what_every_name_is() -> None:
    said = stub()
    assert sorted(said.pop("__all__")) == sorted(dsb.__all__)
    assert said == {name: getattr(dsb, name) for name in dsb.__all__ if name != "__version__"}


@pytest.mark.parametrize("name", [name for name in dsb.__all__ if name != "__version__"])
def test_every_name_explains_itself(name: str) -> None:
    assert inspect.getdoc(getattr(dsb, name))
    assert name in dir(dsb)
    # A module of this name would hide it once something imports that.
    assert not (PACKAGE / name).exists()
    assert not (PACKAGE / f"{name}.py").exists()


def test_there_is_no_name_that_nobody_needs() -> None:
    assert set(dsb.__all__) - FOR_USERS == used_by_examples()


def test_the_examples_need_no_other_module_of_the_package() -> None:
    text = "".join(path.read_text("utf-8") for path in ROOT.glob("examples/*/*.py"))
    assert set(re.findall(r"^ *(?:from|import) (dsb[\w.]*)", text, re.MULTILINE)) == {"dsb"}


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'dsb' has no attribute 'nothing'"):
        _ = dsb.nothing


def test_the_examples_in_the_documentation_of_dsb_print_what_they_say() -> None:
    assert doctest.testmod(dsb) == (0, 5)


def test_the_example_in_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(example, {}, "README.md", None, None)
    with contextlib.chdir(tmp_path):
        assert doctest.DocTestRunner().run(test) == (0, 6)
