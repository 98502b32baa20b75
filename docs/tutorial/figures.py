"""What the figures of the tutorial share: where they lie, their colours, and how small they are stored."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from edgefill.files import write_atomically

IMAGES = Path(__file__).resolve().parents[1] / "images" / "tutorial"
KNOWN, HIDDEN, GIVEN, DATA = "#2166ac", "#d95f0e", "#238b45", "#969696"  # blue, orange, green, grey
_COLOURS = 96  # of a stored figure


def panels(columns: int, rows: int = 1, *, side: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure with equal panels of ``side`` inches, and these row by row."""
    figure = Figure(figsize=(columns * side, rows * side), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def show(axes: Axes, picture: np.ndarray, title: str = "") -> None:
    """``picture [H, W]`` in [-1, 1] in grey, pixel by pixel."""
    axes.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def gallery(
    rows: Sequence[Sequence[np.ndarray]] | np.ndarray,
    titles: Sequence[str],
    *,
    side: float = 1.1,
    across: bool = False,
) -> Figure:
    """Pictures [H, W] in rows, with ``titles`` above the columns; ``across`` makes each row a column."""
    lines = list(zip(*rows, strict=True)) if across else list(rows)
    figure, every = panels(len(lines[0]), len(lines), side=side)
    for number, axes in enumerate(every):
        row, column = divmod(number, len(lines[0]))
        show(axes, lines[row][column], titles[column] if not (across or row) else "")
        if across and not column:
            axes.set_title(titles[row], fontsize=9, loc="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG of few colours."""
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=110)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    write_atomically(path, stored.getvalue())
    print(f"wrote {path.name}, {len(stored.getvalue()) / 1000:.0f} kB")
