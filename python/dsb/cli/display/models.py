"""What `dsb models` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from dsb.cli.display.console import bytes_text

if TYPE_CHECKING:
    from rich.table import Table

    from dsb.models.local.checkup.examine import Checkup
    from dsb.models.store.catalog import Entry


def listing(entries: Sequence[Entry]) -> Table:
    """One row per checkpoint."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("id", "hub", "revision", "family", "backend"):
        table.add_column(name)
    table.add_column("size", justify="right")
    table.add_column("state")
    for each in entries:
        state = Text("complete", "green") if each.complete else Text("incomplete", "red")
        table.add_row(
            each.id,
            each.hub or "by hand",
            (each.revision or "-")[:12],
            each.family or "-",
            each.backend or "-",
            bytes_text(each.size),
            state,
        )
    return table


def as_dict(found: Checkup) -> dict[str, object]:
    """The checkup for programs; sizes in bytes, times in seconds."""
    # The temporal patch keeps the name that programs know.
    values = {("frame" if name == "patch" else name): each for name, each in asdict(found).items()}
    return {
        **values,
        "memory": {**asdict(found.memory), "total": found.memory.total},
        "fits": found.fits,
    }


def findings(found: Checkup) -> list[tuple[str, str]]:
    """The checkup for people: label and value."""
    patch, memory, device = found.patch, found.memory, found.device
    per_patch = "frame" if patch.span == 1 else f"{patch.span} frames"
    weights = f"{bytes_text(memory.weights)} in {found.dtype}"
    if found.quantization != "none":
        weights += f", layers in {found.quantization}"
    pairs = [
        ("checkpoint", found.folder),
        ("family", f"{found.family}, backend {found.backend}; chat template tested"),
        ("parameters", f"{found.parameters.total:,}"),
        ("weights", weights),
        ("frames", f"{patch.size[0]}x{patch.size[1]} at {patch.fps:g} per second"),
        (
            f"tokens per {per_patch}",
            f"{patch.visual_tokens} visual, {patch.text_tokens} of text around them",
        ),
        (
            "keys and values",
            (
                f"{patch.kv_bytes_per_token:,} bytes per token, "
                f"{bytes_text(patch.kv_bytes_per_frame)} per frame, "
                f"{bytes_text(patch.kv_bytes_per_hour)} per hour if nothing left"
            ),
        ),
        ("encoded frames", f"{bytes_text(patch.embedding_bytes_per_frame)} per frame"),
    ]
    pairs += [
        (
            f"arena of {each.name}",
            f"{bytes_text(each.arena_bytes)} for {each.patches} x {per_patch}",
        )
        for each in found.systems
    ]
    pairs += [
        ("visual cache", bytes_text(memory.visual_cache)),
        ("activations", f"about {bytes_text(memory.workspace)}"),
        ("in all", bytes_text(memory.total)),
        *_times(found),
        (
            "device",
            f"{device.name}: {bytes_text(device.usable)} usable, "
            + ("it fits" if found.fits else "it DOES NOT FIT"),
        ),
    ]
    return pairs


def _times(found: Checkup) -> list[tuple[str, str]]:
    floors = found.floors
    if floors is None:
        unknown = "unknown for this device; give --gpu, or --bandwidth and --flops"
        return [("time", unknown)]
    span = found.patch.span
    per_patch = "frame" if span == 1 else f"{span} frames"
    return [
        (
            "time, at least",
            (
                f"encode {_ms(floors.encode_s)} and prefill {_ms(floors.prefill_first_s)} to "
                f"{_ms(floors.prefill_s)} per {per_patch}"
            ),
        ),
        (
            "",
            f"first token {_ms(floors.ttft_s)}, then {_ms(floors.decode_s)} per token, full window",
        ),
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
