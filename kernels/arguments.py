"""What the kernels are given, and the header of C++ that says the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.solvers.solver import Solver
from edgefill.kernels.structs import Field, Struct

if TYPE_CHECKING:
    from edgefill.methods.latent.settings import SearchSettings

SEARCH = Struct(
    "Search",
    [
        Field("z", "float *", "[N, Z], in place, where the step graph reads it"),
        Field("loss", "const float *", "[N], this and the next three are what the step graph says of z"),
        Field("gradient", "const float *", "[N, Z]"),
        Field("contextual", "const float *", "[N]"),
        Field("perceptual", "const float *", "[N]"),
        Field("best_z", "float *", "[N, Z], where the loss was least, and what it was there"),
        Field("best_loss", "float *", "[N]"),
        Field("best_contextual", "float *", "[N]"),
        Field("best_perceptual", "float *", "[N]"),
        Field("mark", "float *", "[N], the last loss that was better by more than the tolerance"),
        Field("marked_at", "int *", "[N], its step"),
        Field("steps", "int *", "[N], evaluations so far"),
        Field("limit", "const int *", "[N], the row pauses after this many"),
        Field("status", "int *", "[N], a Status"),
        Field("rows", "int", "N"),
        Field("z_dim", "int", "Z"),
        Field("patience", "int", "steps without a new mark that end the row; 0 is never"),
        Field("bound", "float", "of |z|"),
        Field("goal", "float", "a loss that ends the row; -inf is none"),
        Field("tolerance", "float", "a share of the loss"),
    ],
)
"""What the step kernels of all solvers share."""

LOOP = Struct(
    "Loop",
    [
        Field("search", SEARCH),
        Field("handle", "unsigned long long", "of the loop that it ends"),
    ],
)
"""The argument of the kernel that ends a loop."""

COMPOSE = Struct(
    "Compose",
    [
        Field("generated", "const float *", "[N, C, H, W], in [-1, 1]"),
        Field("target", "const float *", "the same"),
        Field("known", "const unsigned char *", "[N, H, W]"),
        Field("composed", "unsigned char *", "[N, H, W, C]"),
        *(Field(name, "int") for name in ("rows", "channels", "height", "width")),
    ],
)
"""The argument of the compose kernel."""


def structs(solvers: Iterable[type[Solver]]) -> list[Struct]:
    """Every struct of the kernels of ``solvers``, each after those that it has inside."""
    own = [struct for solver in solvers for struct in (solver.rate_struct(), solver.struct(SEARCH))]
    return [SEARCH, *own, LOOP, COMPOSE]


def header(solvers: Iterable[type[Solver]]) -> str:
    """The C++ of ``structs``, and of what the kernels share beside them."""
    solvers = tuple(solvers)
    constants = [
        f"enum {{ {name} = {value} }};\n" for solver in solvers for name, value in solver.constants.items()
    ]
    first = "// What the kernels are given, by value; made of what Python declares.\n#pragma once\n"
    return "\n".join([first, *constants, *(struct.cpp for struct in structs(solvers))])


def search_arguments(
    settings: SearchSettings, addresses: Mapping[str, int], *, rows: int, z_dim: int, bound: float
) -> np.ndarray:
    """The struct of the settings' solver for ``rows`` latents of ``z_dim`` numbers.

    ``addresses`` are of the arrays of the state, those of the solver and its draws, and the rates.
    """
    values = {
        "rows": rows,
        "z_dim": z_dim,
        "patience": settings.patience,
        "bound": bound,
        "goal": -math.inf if settings.goal is None else settings.goal,
        "tolerance": settings.tolerance,
    }
    solver = settings.solver
    return solver.struct(SEARCH).filled({**addresses, **values, **solver.numbers()})


def loop_arguments(step: np.ndarray, handle: int) -> np.ndarray:
    """A LOOP struct: the search of a ``step``'s arguments, and the ``handle`` of the loop."""
    arguments = np.zeros((), LOOP.dtype)
    arguments["search"], arguments["handle"] = step["search"], handle
    return arguments


def compose_arguments(
    addresses: Mapping[str, int], *, rows: int, channels: int, height: int, width: int
) -> np.ndarray:
    """A COMPOSE struct. Raises InputError for more pixels than the kernel counts."""
    if rows * height * width >= 2**31:
        raise InputError(
            f"cannot compose {rows} pictures of {width}×{height} at once: expected fewer than {2**31:,} "
            "pixels together; use a smaller --batch"
        )
    shape = {"rows": rows, "channels": channels, "height": height, "width": width}
    return COMPOSE.filled({**addresses, **shape})
