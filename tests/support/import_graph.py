"""Which module of a package imports which, read from the text: also what is imported late or for types alone."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One name, or one module, that a module imports from its own package."""

    importer: str
    line: int
    module: str
    """The module that defines what is imported."""
    lost: str = ""
    """A name of an `__init__` that its text does not define: whose it is, nobody can read."""


@dataclass(frozen=True)
class Package:
    """A package on disk."""

    root: Path
    """Its folder."""

    @cached_property
    def files(self) -> dict[str, Path]:
        """Module -> file; a compiled module is known by its stub, any other one by its code."""
        found = {}
        for path in [*self.root.rglob("*.pyi"), *self.root.rglob("*.py")]:
            inner = path.relative_to(self.root.parent).with_suffix("")
            parts = inner.parts[:-1] if path.stem == "__init__" else inner.parts
            found[".".join(parts)] = path
        return found

    @cached_property
    def imports(self) -> list[Import]:
        """Everything that its modules import from it, by module and line."""
        return [each for module in sorted(self.files) for each in self._imports_of(module)]

    def _imports_of(self, module: str) -> Iterator[Import]:
        for node in ast.walk(self._trees[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in self.files:
                        yield Import(module, node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                source = self._source_of(module, node)
                if source in self.files:
                    for alias in node.names:
                        defined = self._defining(source, alias.name)
                        lost = "" if defined else alias.name
                        yield Import(module, node.lineno, defined or source, lost)

    def _source_of(self, module: str, node: ast.ImportFrom) -> str:
        """The absolute name behind `from ... import`."""
        if not node.level:
            return node.module or ""
        own = module.split(".") + ["__init__"] * self._is_folder(module)
        return ".".join([*own[: -node.level], *([node.module] if node.module else [])])

    def _defining(self, source: str, name: str) -> str | None:
        """The module that `from source import name` leads to; `None` if nobody can read it."""
        if f"{source}.{name}" in self.files:
            return f"{source}.{name}"
        if not self._is_folder(source):
            return source
        for node in self._trees[source].body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = self._source_of(source, node)
                    if name == (alias.asname or alias.name) and inner in self.files:
                        return self._defining(inner, alias.name)
            if name in _defined_by(node):
                return source
        return None

    def _is_folder(self, module: str) -> bool:
        return self.files[module].stem == "__init__"

    @cached_property
    def _trees(self) -> Mapping[str, ast.Module]:
        return {
            module: ast.parse(path.read_text(encoding="utf-8"), str(path))
            for module, path in self.files.items()
        }


def circles(imports: Sequence[Import]) -> list[list[Import]]:
    """Imports that lead from a module back to it; without their last ones no circle is left."""
    edges = {(each.importer, each.module): each for each in reversed(imports)}
    found = []
    while circle := _circle(list(edges)):
        found.append([edges[edge] for edge in circle])
        del edges[circle[-1]]
    return found


def _circle(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges of one circle, beginning at its first module; empty if there is none."""
    sorter = graphlib.TopologicalSorter[str]()
    for importer, imported in sorted(edges):
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        # Each is imported by the next one, and the last one is the first.
        modules = error.args[1][:0:-1]
        start = modules.index(min(modules))
        turned = [*modules[start:], *modules[:start]]
        return list(zip(turned, [*turned[1:], turned[0]], strict=True))
    return []


def _defined_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    names = (name for name in ast.walk(node) if isinstance(name, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}
