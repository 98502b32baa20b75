"""The solvers: z, momenta and gradients are float32 [N, Z], losses and energies float32 [N].

Rows are samples: a row's result does not depend on the rows beside it, to the bit. Every update is
projected: z stays in [-bound, bound], the range of the prior. A solver is added by its file, its kernel and
a word below.
"""

from __future__ import annotations

from edgefill.errors import InputError
from edgefill.kernels.names import in_words
from edgefill.kernels.solvers.adam import Adam
from edgefill.kernels.solvers.hmc import HMC
from edgefill.kernels.solvers.lbfgs import LBFGS
from edgefill.kernels.solvers.momentum import Momentum
from edgefill.kernels.solvers.solver import Solver
from edgefill.limits import shown

__all__ = [
    "HMC",
    "LBFGS",
    "SHIPPED",
    "SOLVERS",
    "Adam",
    "Momentum",
    "Solver",
    "solver_of",
]

SHIPPED: tuple[type[Solver], ...] = (Momentum, Adam, LBFGS, HMC)
"""Those with a kernel in the compiled forms."""

SOLVERS: dict[str, type[Solver]] = {each.name: each for each in SHIPPED}
"""Those that can be asked for by name."""


def solver_of(solver: Solver | str) -> Solver:
    """``solver``, or the one of that name with the numbers that it has of itself. Raises InputError."""
    if isinstance(solver, Solver):
        return solver
    if isinstance(solver, str) and solver in SOLVERS:
        return SOLVERS[solver]()
    raise InputError(f"cannot search with solver {shown(solver)}: expected {in_words(SOLVERS)}")
