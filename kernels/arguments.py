"""What the kernels are given: aligned NumPy dtypes that mirror the structs of the sources field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgefill.errors import InputError

if TYPE_CHECKING:
    from edgefill.methods.latent.settings import SearchSettings

RATES = np.dtype(
    [
        ("lr", np.float32),
        ("first_correction", np.float32),  # Adam: 1 − β₁ᵗ
        ("second_correction", np.float32),  # Adam: 1 − β₂ᵗ
        ("beta", np.float32),  # HMC: inverse temperature
    ]
)
"""What changes from step to step, worked out before the search."""

MOST_PAIRS = 32
"""That L-BFGS can remember: its kernel has room for so many."""

_STATE = (
    "z", "loss", "gradient", "contextual", "perceptual", "first", "second", "best_z", "best_loss",
    "best_contextual", "best_perceptual", "mark", "marked_at", "moves", "changes", "curvatures", "pairs",
    "energy", "noise", "uniform", "rates", "steps", "limit", "status",
)  # fmt: skip
_COUNTS = ("rows", "z_dim", "normalise", "patience", "memory", "leapfrog")
_NUMBERS = (
    "momentum", "momentum_ahead", "beta1", "beta1_rest", "beta2", "beta2_rest", "eps", "bound", "goal",
    "tolerance", "size", "half_size",
)  # fmt: skip
_PICTURES = ("generated", "target", "known", "composed")
_SHAPE = ("rows", "channels", "height", "width")


def _struct(pointers: tuple[str, ...], counts: tuple[str, ...], numbers: tuple[str, ...] = ()) -> np.dtype:
    kinds = ((pointers, np.uint64), (counts, np.int32), (numbers, np.float32))
    return np.dtype([(name, kind) for names, kind in kinds for name in names], align=True)


SEARCH = _struct(_STATE, _COUNTS, _NUMBERS)
"""The argument of the step kernels, ``struct Search`` of search.cuh."""

COMPOSE = _struct(_PICTURES, _SHAPE)
"""The argument of the compose kernel, ``struct Compose`` of compose.cu."""


def search_arguments(
    settings: SearchSettings, addresses: Mapping[str, int], *, rows: int, z_dim: int, bound: float
) -> np.ndarray:
    """A SEARCH struct for ``rows`` latents of ``z_dim`` numbers; ``addresses`` are of the state's arrays.

    Sums and shares of settings are worked out here in float64, as the reference does.
    """
    values = {
        "rows": rows,
        "z_dim": z_dim,
        "normalise": settings.normalise,
        "patience": settings.patience,
        "memory": settings.memory,
        "leapfrog": settings.hmc_leapfrog,
        "momentum": settings.momentum,
        "momentum_ahead": 1 + settings.momentum,
        "beta1": settings.beta1,
        "beta1_rest": 1 - settings.beta1,
        "beta2": settings.beta2,
        "beta2_rest": 1 - settings.beta2,
        "eps": settings.eps,
        "bound": bound,
        "goal": -math.inf if settings.goal is None else settings.goal,
        "tolerance": settings.tolerance,
        "size": settings.hmc_size,
        "half_size": settings.hmc_size / 2,
    }
    return _filled(SEARCH, addresses, values)


def compose_arguments(
    addresses: Mapping[str, int], *, rows: int, channels: int, height: int, width: int
) -> np.ndarray:
    """A COMPOSE struct. Raises InputError for more pixels than the kernel counts."""
    if rows * height * width >= 2**31:
        raise InputError(
            f"cannot compose {rows} pictures of {width}×{height} at once: expected fewer than {2**31:,} "
            "pixels together; use a smaller --batch"
        )
    return _filled(COMPOSE, addresses, {"rows": rows, "channels": channels, "height": height, "width": width})


def _filled(struct: np.dtype, addresses: Mapping[str, int], values: Mapping[str, float]) -> np.ndarray:
    """One struct, 0-d: each field from ``values``, or the address of its name."""
    arguments = np.zeros((), struct)
    for name in struct.names or ():
        arguments[name] = values[name] if name in values else addresses[name]
    return arguments
