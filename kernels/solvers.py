"""The solvers by name: of the settings' values, the commands' help, the kernels and their sources."""

SOLVER_NAMES = ("momentum", "adam", "lbfgs", "hmc")
SOLVERS_IN_WORDS = f"{', '.join(SOLVER_NAMES[:-1])} or {SOLVER_NAMES[-1]}"


def kernel_of(solver: str) -> str:
    """The kernel that takes a step of ``solver``."""
    return f"{solver}_step"
