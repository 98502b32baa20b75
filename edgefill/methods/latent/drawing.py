"""Pictures that a generator draws, and those that are none: in fp16 a value may grow beyond all numbers."""

from __future__ import annotations

import numpy as np

from edgefill.errors import ModelError
from edgefill.methods.latent.graphs import generate
from edgefill.model.manifest import Manifest
from edgefill.runtimes import Runtime

_AT_ONCE = 64


def drawn(z: np.ndarray, model: Manifest, runtime: Runtime) -> np.ndarray:
    """G(z), [N, C, H, W], of any number of latents. Raises ModelError; see ``check_drawn``."""
    parts = [generate(runtime, z[start : start + _AT_ONCE]) for start in range(0, len(z), _AT_ONCE)]
    pictures = np.concatenate(parts)
    check_drawn(pictures, model)
    return pictures


def check_drawn(pictures: np.ndarray, model: Manifest, name: str = "") -> None:
    """Raises ModelError where ``pictures [N, C, H, W]``, drawn by G of ``model``, are not finite.

    As bytes these would be black, and pass for pictures. ``name`` is what they are drawn for, if that is one.
    """
    broken = np.flatnonzero(~is_finite(pictures))
    if len(broken):
        raise ModelError(
            f"the model {model.name} has drawn NaN or Inf for {name or f'picture {broken[0]}'} by its graph "
            "generator; expected numbers in [-1, 1]; try another seed, or a model exported in fp32"
        )


def is_finite(pictures: np.ndarray) -> np.ndarray:
    """Whether each of ``pictures [N, C, H, W]`` holds nothing but numbers, [N]."""
    finite: np.ndarray = np.isfinite(pictures).all(axis=(1, 2, 3))
    return finite
