"""Names that a configuration may use, and where the code behind each of them is.

An entry is the text `module:attribute`. Nothing is imported before a name is asked for, so a backend may need
torch or an SDK without the rest of the package paying for it. Other packages add names through entry points of
the group that the registry names (`dsb.backends`, `dsb.routers`, ...). Each floor keeps its own registry in its
`build.py`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from dsb.errors import RegistryError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, imported when they are asked for."""

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        """`kind` is what messages call a thing, `group` the entry-point group of other packages."""
        self.kind = kind
        self.group = group
        self._targets: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._discovered = False
        for name, target in builtin.items():
            self.register(name, target, origin="dsb itself")

    def register(self, name: str, target: str, *, origin: str = "this program") -> None:
        """Add `name` for `target` (`module:attribute`); the same pair twice is fine.

        Raises:
            RegistryError: `target` has another form, or `name` stands for something else already.
        """
        module, colon, attribute = target.partition(":")
        if not (module and colon and attribute):
            raise RegistryError(
                f"{self.kind} {name!r} of {origin} points at {target!r}; write 'module:attribute'"
            )
        known = self._targets.setdefault(name, target)
        if known != target:
            raise RegistryError(
                f"two {self.kind}s are called {name!r}: {known} ({self._origins[name]}) and {target} "
                f"({origin}); rename one of them"
            )
        self._origins.setdefault(name, origin)

    def names(self) -> list[str]:
        """Every known name in alphabetical order, those of other packages included."""
        self._discover()
        return sorted(self._targets)

    def load(self, name: str) -> T:
        """The thing called `name`; imports its module.

        Raises:
            RegistryError: no such name, or its entry points at nothing.
            MissingDependency: its module needs a package that is not installed.
        """
        if name not in self._targets:
            self._discover()
        try:
            target = self._targets[name]
        except KeyError:
            raise RegistryError(self._unknown(name)) from None
        module, _, attribute = target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except AttributeError as error:
            raise RegistryError(self._broken(name, error)) from error
        except ModuleNotFoundError as error:
            # Only a missing part of the target itself is a wrong entry; any other missing module is
            # a dependency, whose own message says what to install.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise RegistryError(self._broken(name, error)) from error
        return cast("T", found)

    def _discover(self) -> None:
        if self._discovered:
            return
        for entry in entry_points(group=self.group):
            origin = entry.dist.name if entry.dist is not None else "an unnamed package"
            self.register(entry.name, entry.value, origin=origin)
        self._discovered = True

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._targets, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"no {self.kind} is called {name!r}; {hint}known: {', '.join(sorted(self._targets))}"

    def _broken(self, name: str, error: Exception) -> str:
        return (
            f"{self.kind} {name!r} of {self._origins[name]} points at {self._targets[name]}, which is not there "
            f"({error}); correct the entry or reinstall that package"
        )
