"""What people and programs see. Nothing else in the package prints.

Results go to standard output and everything about the work (progress, notes, errors) to standard
error, so that `dsb ... --json > file` holds one JSON object. A terminal gets colours and a live
display, anything else plain lines.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dsb.errors import DsbError

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Columns where there is no terminal to ask.
_PLAIN_WIDTH = 140


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def show(what: RenderableType) -> None:
    """A result for people."""
    console().print(what)


def show_json(value: object) -> None:
    """A result for programs: one JSON object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def show_paths(paths: Mapping[str, Path]) -> None:
    """Where the results are, one `name: path` per line, never wrapped."""
    width = max(map(len, paths), default=0)
    for name, path in paths.items():
        console().print(Text(f"{name:>{width}}: {path}"), soft_wrap=True)


def show_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table, its first column on the left and numbers on the right."""
    table = Table(title=title)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """One `label  value` per line."""
    width = max((len(label) for label, _ in pairs), default=0)
    for label, value in pairs:
        console().print(Text(f"{label:<{width}}  {value}"), soft_wrap=True)


def bytes_text(count: int) -> str:
    """`1840000` -> `1.84 MB`; powers of 1000, three digits."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def show_next(command: str) -> None:
    """The command that comes next."""
    console().print(Text(f"next: {command}"), soft_wrap=True)


def note(text: str) -> None:
    """A remark about the work."""
    console(stderr=True).print(Text(text), soft_wrap=True)


def show_error(error: BaseException) -> None:
    """One message: cause, place and remedy; the class too where nobody foresaw the error."""
    foreseen = isinstance(error, DsbError)
    text = str(error) if foreseen else f"{type(error).__name__}: {error}"
    hint = "" if foreseen else "\nThis should not happen. See where with: " + _debug_command()
    err = console(stderr=True)
    if err.is_terminal:
        err.print(Panel(Text(text + hint), title="error", title_align="left", border_style="red"))
    else:
        err.print(Text(f"error: {text}{hint}"), soft_wrap=True)


def _debug_command() -> str:
    return shlex.join(["dsb", *sys.argv[1:], "--debug"])
