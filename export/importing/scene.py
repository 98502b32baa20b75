"""The picture that a network is tried on: anybody could complete it, and its hole is not grey."""

from __future__ import annotations

import numpy as np

_HOLES = 6  # in a row, and rows of them
_HOLE = 1 / 32  # of the shorter side: half the height of a hole


def scene(height: int, width: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A picture [1, C, H, W] in [-1, 1] and what is known of it, [1, 1, H, W]; always the same.

    It goes from dark to light, to the ends of the range, so that a range that is read wrongly shows, and is
    warm all over, so that exchanged channels do; the texture is weak, so that what belongs into the small
    holes is no question.
    """
    y, x = (axis / min(height, width) for axis in np.mgrid[:height, :width])
    light = np.sin(5.1 * x + 1.3 * y + 0.4) * np.cos(3.3 * y - 1.1 * x)
    warmth = 0.2 + 0.15 * np.cos(2.1 * x - 2.7 * y + 0.5)
    noise = np.random.default_rng(0).standard_normal((height, width))
    texture = 0.05 * np.sin(40 * x + 9 * np.sin(5 * y)) * np.sin(37 * y) + 0.02 * noise
    tints = np.array([1.0, 0.0, -1.0] if channels == 3 else [0.0])[:, None, None]
    picture = np.clip(1.05 * light + tints * warmth + texture, -1, 1)
    in_bytes = np.rint((picture + 1) * 127.5)  # so that a network that pastes returns just this
    return np.float32(in_bytes / 127.5 - 1)[None], _known(height, width)


def _known(height: int, width: int) -> np.ndarray:
    """Discs and squares on a grid are missing; [1, 1, H, W]."""
    radius = max(1, int(min(height, width) * _HOLE))
    y, x = np.mgrid[:height, :width]
    known = np.ones((1, 1, height, width), np.float32)
    for row in range(_HOLES):
        for column in range(_HOLES):
            down = np.abs(y - int((row + 0.5) * height / _HOLES))
            right = np.abs(x - int((column + 0.5) * width / _HOLES))
            is_square = (row + column) % 2
            inside = np.maximum(down, right) <= radius if is_square else np.hypot(down, right) <= radius
            known[0, 0, inside] = 0
    return known
