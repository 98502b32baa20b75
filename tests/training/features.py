"""AlexNet's and LPIPS's weights as a file, of random numbers: for tests of what is trained with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))


def save_features(path: Path) -> Path:
    """``path``, where they now are."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for place, shape in enumerate(SHAPES):
        arrays[f"conv{place}.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
        arrays[f"conv{place}.bias"] = np.zeros(shape[0], np.float32)
        arrays[f"lin{place}.weight"] = rng.random(shape[0]).astype(np.float32)
    np.savez(path, **arrays)
    return path
