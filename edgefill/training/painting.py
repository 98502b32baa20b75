"""Holes as people paint them into photographs: strokes, blobs, boxes and shapes, in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from edgefill.pictures.masks import MASKS

# How often each kind is drawn.
_SHARES = {"strokes": 7, "blobs": 6, "boxes": 7, "shapes": 3, "specks": 1}
_MOST = 0.5  # of the picture: more is not hidden


def painted_hole(size: int, rng: np.random.Generator) -> np.ndarray:
    """A hole ``[size, size]`` bool of any kind; never empty, and never more than half of the picture."""
    kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
    while True:
        hole = _KINDS[kinds[rng.integers(len(kinds))]](size, rng)
        if 0 < hole.mean() <= _MOST:
            return hole


def _strokes(size: int, rng: np.random.Generator) -> np.ndarray:
    """Some broken lines, from a hair to a finger wide."""
    image, draw = _canvas(size)
    for _ in range(rng.integers(1, 6)):
        width = int(rng.integers(1, 9) if rng.random() < 0.8 else rng.integers(9, 20))
        angle = rng.uniform(0, 2 * math.pi)
        places = [tuple(rng.uniform(0, size, 2))]
        for _ in range(rng.integers(1, 6)):
            angle += rng.normal(0, 0.6)
            length = rng.uniform(12, 64)
            x, y = places[-1]
            places.append((x + length * math.cos(angle), y + length * math.sin(angle)))
        draw.line(places, fill=1, width=width, joint="curve")
    return np.asarray(image, bool)


def _blobs(size: int, rng: np.random.Generator) -> np.ndarray:
    """Some clusters of ellipses."""
    image, draw = _canvas(size)
    for _ in range(rng.integers(1, 5)):
        middle = rng.uniform(0, size, 2)
        for _ in range(rng.integers(1, 5)):
            x, y = middle + rng.normal(0, 10, 2)
            width, height = rng.uniform(5, 26, 2)
            draw.ellipse((x - width, y - height, x + width, y + height), fill=1)
    return np.asarray(image, bool)


def _boxes(size: int, rng: np.random.Generator) -> np.ndarray:
    """One rectangle, or two small ones; sometimes cut by the picture's edge."""
    hole = np.zeros((size, size), bool)
    several = rng.random() < 0.2
    for _ in range(2 if several else 1):
        sides = rng.integers(size // 8, int(size * (0.4 if several else 0.72)), 2)
        beyond = 0.3 * sides if rng.random() < 0.2 else 0 * sides
        top, left = rng.uniform(-beyond, size - sides + beyond + 1).astype(int)
        hole[max(top, 0) : max(top + sides[0], 0), max(left, 0) : max(left + sides[1], 0)] = True
    return hole


def _shapes(size: int, rng: np.random.Generator) -> np.ndarray:
    return MASKS["pattern"](size, size, rng.uniform(0.05, 0.4), rng)


def _specks(size: int, rng: np.random.Generator) -> np.ndarray:
    return MASKS["random"](size, size, rng.uniform(0.02, 0.5), rng)


def _canvas(size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("1", (size, size))
    return image, ImageDraw.Draw(image)


_KINDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "strokes": _strokes,
    "blobs": _blobs,
    "boxes": _boxes,
    "shapes": _shapes,
    "specks": _specks,
}
