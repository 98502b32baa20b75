"""Whether a picture is of the kind that a model draws, by how much of what is known the model can explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.pictures.evidence import Evidence

_EVEN = 1e-3  # variance in [-1, 1] below which a picture has nothing that could be explained


def trust(value: float | None, usual: float | None) -> float:
    """How far a picture with this misfit is of the kind of the model, 0 to 1; not at all from 1 on.

    1 up to the ``usual`` misfit, and where one of both is not known; then the square of the
    share that is explained to the share that usually is.
    """
    if value is None or usual is None or value <= usual:
        return 1.0
    return max(0.0, (1 - value) / (1 - usual)) ** 2 if usual < 1 else 0.0


def worst(misfits: Sequence[float | None]) -> float | None:
    """The greatest of those that are known."""
    return max((value for value in misfits if value is not None), default=None)


def misfit(evidence: Evidence, expected: np.ndarray) -> float | None:
    """The share of the variance of what is known that ``expected [C, H, W]`` leaves unexplained.

    0 where that is the picture as far as it is known, 1 where its mean would be as good, more where that were
    better. None where no pixel is known, or all are alike. ``evidence`` is of one picture.
    """
    target, weight = evidence.target, np.broadcast_to(evidence.weight, evidence.target.shape)
    total = float(weight.sum(dtype=np.float64))
    if not total:
        return None
    variance = (weight * np.square(target - (weight * target).sum() / total)).sum() / total
    if variance < _EVEN:
        return None
    return float((weight * np.square(target - expected)).sum() / total / variance)
