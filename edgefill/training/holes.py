"""What is hidden from a network that learns to complete: masks of every kind that there is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgefill.pictures.masks import MASKS

_POOL = 2048
# How often each kind is drawn; a box or a pattern stands for whatever a user paints.
_SHARES = {
    "center": 6, "box": 4, "pattern": 4, "random": 2, "left": 1, "right": 1, "top": 1, "bottom": 1,
    "grid": 1, "lowres": 1,
}  # fmt: skip
_PARAMETERS = {"center": (0.1, 0.4), "pattern": (0.05, 0.6), "random": (0.05, 0.95)}


class Holes:
    """A pool of masks for pictures of ``size`` × ``size``; all of it follows from ``seed``.

    ``coarse``: with pictures of which nothing but the means of their blocks is known.
    """

    def __init__(self, size: int, block: int, seed: int, *, coarse: bool = True) -> None:
        rng, kinds = np.random.default_rng(seed), kinds_of_holes(_POOL, coarse=coarse)
        known = [~drawn_hole(kind, (size, size), rng) for kind in kinds]
        blocks = np.array([kind == "lowres" for kind in kinds], np.float32)
        self._weight = np.stack(known)[:, None].astype(np.float32)
        self._block_weight = np.zeros((_POOL, 1, size // block, size // block), np.float32)
        self._block_weight += blocks[:, None, None, None]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Weight [count, 1, S, S] and block weight [count, 1, S/b, S/b], as ``Evidence`` has them."""
        chosen = rng.integers(_POOL, size=count)
        return self._weight[chosen], self._block_weight[chosen]


def kinds_of_holes(count: int, *, coarse: bool = True) -> list[str]:
    """The kinds of ``count`` holes, each as often as it is wanted."""
    kinds = [kind for kind, share in _SHARES.items() if coarse or kind != "lowres" for _ in range(share)]
    if count < len(kinds):
        return [kinds[number * len(kinds) // count] for number in range(count)]
    return [kinds[number % len(kinds)] for number in range(count)]


def drawn_hole(kind: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A hole of a ``kind`` for a picture of ``size``, height and width: bool [H, W]."""
    if kind == "box":
        return _box(size, rng)
    parameter = rng.uniform(*_PARAMETERS[kind]) if kind in _PARAMETERS else 0.0
    return MASKS[kind](*size, parameter, rng)


def _box(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A rectangle of an eighth to three quarters of the picture's sides, anywhere in it."""

    def sides() -> Iterator[slice]:
        for side in size:
            length = int(rng.integers(max(1, side // 8), max(1, 3 * side // 4) + 1))
            start = int(rng.integers(side - length + 1))
            yield slice(start, start + length)

    hole = np.zeros(size, bool)
    hole[tuple(sides())] = True
    return hole
