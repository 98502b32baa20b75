"""What the figures of the tutorial share: where they lie, their colours, and how small they are stored."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from edgefill.files import write_atomically

IMAGES = Path(__file__).resolve().parents[1] / "images" / "tutorial"
KNOWN, HIDDEN, GIVEN, DATA = "#2166ac", "#d95f0e", "#238b45", "#969696"  # blue, orange, green, grey
_COLOURS = 96  # of a stored figure
_GAP, _TITLE = 0.05, 0.2  # between pictures, as a share of one; inches of a line of text


def panels(columns: int, rows: int = 1, *, side: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure with equal panels of ``side`` inches, and these row by row."""
    figure = Figure(figsize=(columns * side, rows * side), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def show(axes: Axes, picture: np.ndarray, **options: Any) -> None:
    """``picture [H, W]`` in [-1, 1] in grey, pixel by pixel."""
    axes.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest", **options)
    axes.set_axis_off()


def gallery(
    rows: Sequence[Sequence[np.ndarray]] | np.ndarray,
    titles: Sequence[str] = (),
    *,
    side: float = 1.1,
    across: bool = False,
) -> Figure:
    """Pictures [H, W] in rows, ``side`` inches each, with ``titles`` above the columns.

    ``across`` makes each row a column, so that the titles stand above rows.
    """
    lines = list(zip(*rows, strict=True)) if across else list(rows)
    head = _TITLE / side if titles else 0.0
    pitch = 1 + _GAP + (head if across else 0)
    wide, high = len(lines[0]) * (1 + _GAP) - _GAP, head + len(lines) * pitch - (pitch - 1)
    figure = Figure(figsize=(wide * side, high * side), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    for row, line in enumerate(lines):
        for column, picture in enumerate(line):
            left, top = column * (1 + _GAP), head + row * pitch
            show(axes, picture, extent=(left, left + 1, top + 1, top))
    for number, title in enumerate(titles):
        if across:
            axes.text(0, head * 0.7 + number * pitch, title, fontsize=9)
        else:
            axes.text(number * (1 + _GAP) + 0.5, head * 0.7, title, fontsize=9, ha="center")
    axes.set(xlim=(0, wide), ylim=(high, 0))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG of few colours."""
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=110)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    write_atomically(path, stored.getvalue())
    print(f"wrote {path.name}, {len(stored.getvalue()) / 1000:.0f} kB")
