"""What every figure shares: its axes, its colours, and how it becomes SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#2b8cbe", "#d95f0e", "#31a354", "#756bb1"
PALE_BLUE, LIGHT_GREY, GREY = "#9ecae1", "#bbbbbb", "#969696"
#: Of the systems wherever they are compared.
SYSTEM_COLORS = {"s1": BLUE, "s2": ORANGE}


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels side by side; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    drawn: list[Axes] = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, drawn


def svg_text(figure: Figure) -> str:
    """The figure as SVG; the same figure gives the same bytes."""
    import matplotlib as mpl

    # No random salt and no date.
    with mpl.rc_context({"svg.hashsalt": "dsb", "svg.fonttype": "none"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
