"""Names that a configuration may use, and where the code behind each of them is.

An entry is the text `module:attribute`. Nothing is imported before a name is asked for, so a backend may need
torch or an SDK without the rest of the package paying for it. Other packages add names through entry points of
the group that the registry names (`dsb.backends`, `dsb.routers`, ...). Each floor keeps its own registry in its
`build.py`.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from dsb.errors import MissingDependency, RegistryError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, imported when they are asked for."""

    def __init__(
        self, kind: str, group: str, builtin: Mapping[str, str], holds: type | None = None
    ) -> None:
        """`kind` is what messages call a thing, `group` the entry-point group of other packages.

        Everything in here is an instance of `holds`, where that is given.
        """
        self.kind = kind
        self.group = group
        self.holds = holds
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

    def require(self, name: str) -> None:
        """Nothing is imported. Raises `RegistryError` if nothing is called `name`."""
        if name not in self._targets:
            self._discover()
        if name not in self._targets:
            raise RegistryError(self._unknown(name))

    def load(self, name: str) -> T:
        """The thing called `name`; imports its module.

        Raises:
            RegistryError: no such name, or its entry points at nothing, or at something else.
            MissingDependency: its module needs a package that is not installed.
        """
        self.require(name)
        target = self._targets[name]
        module, _, attribute = target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except AttributeError as error:
            raise RegistryError(self._broken(name, error)) from error
        except ModuleNotFoundError as error:
            # Only a missing part of the target itself is a wrong entry; any other missing module is
            # a dependency.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise MissingDependency(
                    f"{self.kind} {name!r} of {self._origins[name]} cannot be imported: {error}; "
                    "install what that package needs"
                ) from error
            raise RegistryError(self._broken(name, error)) from error
        self._check_kind(name, found)
        return cast("T", found)

    def _check_kind(self, name: str, found: object) -> None:
        if self.holds is None:
            return
        # A class, too, has what a protocol asks of its instances.
        if isinstance(found, self.holds) and not isinstance(found, type):
            return
        what = "a class" if isinstance(found, type) else f"of the class {type(found).__name__}"
        raise RegistryError(
            f"{self.kind} {name!r} of {self._origins[name]} points at {self._targets[name]}, which is "
            f"{what}; name an instance of {self.holds.__name__}"
        )

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
        known = ", ".join(sorted(self._targets))
        message = f"no {self.kind} is called {name!r}; {hint}known: {known}"
        if near:
            return message
        return (
            f"{message}; if another package brings it, install that package "
            f"(its entry point is one of {self.group}) for {sys.executable}"
        )

    def _broken(self, name: str, error: Exception) -> str:
        return (
            f"{self.kind} {name!r} of {self._origins[name]} points at {self._targets[name]}, which is not there "
            f"({error}); correct the entry or reinstall that package"
        )
