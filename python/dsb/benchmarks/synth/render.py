"""Draw a `Stream`: the frames on screen at given times.

A cell is 28 x 28 world units. Two cues make absolute position visible, whatever the content of a
cell: a slight light gradient, and dark view-finder brackets in the outer corners of the screen's
halves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dsb.benchmarks.synth.world import BACKGROUNDS, COLORS, DIGIT_COLOR, DIGIT_RGB, Episode, Stream

Frames = npt.NDArray[np.uint8]
_Pixels = npt.NDArray[np.float32]

_UNITS = 28
_RADIUS_UNITS = 9.5
#: The centre of an object stays within this many units of the centre of its cell.
_MAX_OFFSET_UNITS = 3
#: Positions are drawn in steps of 1/4 unit, scales in steps of 1/20, so that sprites repeat.
_OFFSET_STEPS = 4
_SCALE_STEPS = 20
_SEGMENTS = {
    "0": "abcdef",
    "1": "bc",
    "2": "abged",
    "3": "abgcd",
    "4": "fgbc",
    "5": "afgcd",
    "6": "afgedc",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
}
_RGB = {name: np.array(rgb, np.float32) for name, rgb in {**COLORS, DIGIT_COLOR: DIGIT_RGB}.items()}


def render(stream: Stream, times_s: Iterable[float], cell_px: int = 28) -> Frames:
    """The frames at `times_s` as `(T, 2 * cell_px, 2 * cell_px, 3) uint8` RGB."""
    times = list(times_s)
    frames: Frames = np.empty((len(times), 2 * cell_px, 2 * cell_px, 3), np.uint8)
    for i, t in enumerate(times):
        canvas = _backdrop(stream.background(t), cell_px).copy()
        for episode in stream.active(t):
            _paint(canvas, episode, t, cell_px)
        frames[i] = canvas
    return frames


def _paint(canvas: _Pixels, episode: Episode, t_s: float, cell_px: int) -> None:
    age_s = t_s - episode.start_s
    offset = (
        _quantize(episode.x + episode.vx * age_s),
        _quantize(episode.y + episode.vy * age_s),
    )
    # A 28 px cell has few kilobytes of sprite and training draws millions of them; a sprite of a
    # full-size video is 16 times larger, and only its neighbours in time use it again.
    sprite = _small_sprite if cell_px <= _UNITS else _large_sprite
    alpha = sprite(episode.kind, round(episode.scale * _SCALE_STEPS), offset, cell_px)
    top, left = (episode.cell // 2) * cell_px, (episode.cell % 2) * cell_px
    cell = canvas[top : top + cell_px, left : left + cell_px]
    cell += alpha * (_RGB[episode.color] - cell)


def _quantize(offset_units: float) -> int:
    clamped = max(-_MAX_OFFSET_UNITS, min(_MAX_OFFSET_UNITS, offset_units))
    return round(clamped * _OFFSET_STEPS)


@cache
def _backdrop(name: str, cell_px: int) -> _Pixels:
    """The empty screen, `(2 * cell_px, 2 * cell_px, 3) float32`."""
    rows = np.linspace(1.10, 0.88, 2 * cell_px)[:, None, None]
    columns = np.linspace(1.06, 0.94, 2 * cell_px)[None, :, None]
    light = (rows * columns).astype(np.float32)
    flat = np.array(BACKGROUNDS[name], np.float32)
    screen: _Pixels = np.clip(flat * light, 0, 255).astype(np.float32)
    arm, width = round(9 * cell_px / _UNITS), max(1, round(2 * cell_px / _UNITS))
    for flip_rows in (slice(None), slice(None, None, -1)):
        for flip_columns in (slice(None), slice(None, None, -1)):
            corner = screen[flip_rows, flip_columns]
            corner[:width, :arm] *= 0.45
            corner[width:arm, :width] *= 0.45
    return screen


def _draw_sprite(kind: str, scale: int, offset: tuple[int, int], cell_px: int) -> _Pixels:
    """The coverage of an object in its cell, `(cell_px, cell_px, 1) float32` in 0..1, supersampled.

    `scale` and `offset` are in the steps of `_SCALE_STEPS` and `_OFFSET_STEPS`.
    """
    side = max(4 * cell_px, 224)
    unit = side / _UNITS
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    cx = side / 2 + offset[0] / _OFFSET_STEPS * unit
    cy = side / 2 + offset[1] / _OFFSET_STEPS * unit
    r = _RADIUS_UNITS * (scale / _SCALE_STEPS) * unit
    if kind in ("circle", "ring"):
        pen.ellipse([cx - r, cy - r, cx + r, cy + r], fill=255)
        if kind == "ring":
            hole = r * 0.52
            pen.ellipse([cx - hole, cy - hole, cx + hole, cy + hole], fill=0)
    elif kind in _SEGMENTS:
        _draw_digit(pen, kind, cx, cy, r)
    else:
        pen.polygon([(cx + x, cy + y) for x, y in _outline(kind, r)], fill=255)
    small = mask.resize((cell_px, cell_px), Image.Resampling.BOX)
    coverage: _Pixels = np.asarray(small, np.float32)[..., None] / np.float32(255)
    return coverage


_small_sprite = cache(_draw_sprite)
_large_sprite = lru_cache(maxsize=256)(_draw_sprite)


def _draw_digit(pen: ImageDraw.ImageDraw, digit: str, cx: float, cy: float, r: float) -> None:
    """A seven-segment digit; segments are named a (top) to f clockwise, g in the middle."""
    w, h, thickness = r * 0.62, r * 1.05, r * 0.2
    segments = {
        "a": (-w, -h, w, -h),
        "b": (w, -h, w, 0),
        "c": (w, 0, w, h),
        "d": (-w, h, w, h),
        "e": (-w, 0, -w, h),
        "f": (-w, -h, -w, 0),
        "g": (-w, 0, w, 0),
    }
    for segment in _SEGMENTS[digit]:
        x0, y0, x1, y1 = segments[segment]
        pen.rectangle(
            [cx + x0 - thickness, cy + y0 - thickness, cx + x1 + thickness, cy + y1 + thickness],
            fill=255,
        )


def _outline(kind: str, r: float) -> list[tuple[float, float]]:
    """The corners of a polygonal shape around the origin, y downwards."""
    if kind == "square":
        return _star_outline(4, [r * 1.15], math.pi / 4)
    if kind == "triangle":
        return _star_outline(3, [r * 1.15], 0)
    if kind == "star":
        return _star_outline(10, [r * 1.15, r * 0.45], 0)
    if kind == "cross":
        a, b = r * 1.0, r * 0.34
        quarter = [(b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a)]
        return [(-b, -a), *quarter, (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)]
    raise ValueError(f"{kind!r} is neither a shape nor a digit of the world")


def _star_outline(corners: int, radii: list[float], turn: float) -> list[tuple[float, float]]:
    """`corners` points at equal angles, clockwise from `turn` past the top; radii take turns."""
    points = []
    for i in range(corners):
        radius, angle = radii[i % len(radii)], turn + 2 * math.pi * i / corners
        points.append((radius * math.sin(angle), -radius * math.cos(angle)))
    return points
