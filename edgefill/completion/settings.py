"""How the latent z of a picture is searched for, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.arguments import RATES

_MAX_STEPS = 1_000_000


@dataclass(frozen=True)
class SearchSettings:
    """A solver and its objective. A step is one evaluation of the loss and its gradient.

    Raises InputError for values that no search can run with.
    """

    solver: str = "adam"  # or "momentum", "hmc"
    steps: int = 100
    lr: float = 0.1
    lr_falls: bool = False  # linearly, from lr at the first step towards 0 after the last
    lam: float = 0.1  # weight of the perceptual loss
    pull: float = 0.0  # weight of |z − anchor|²: the anchor is the encoder's z, or the mean of the prior
    power: int = 1  # the contextual loss sums |G(z) − y|^power: 1 (L1) or 2 (L2)
    importance: int = 0  # side of the window of Yeh et al. 2017; 0 weighs all known pixels alike
    momentum: float = 0.9
    normalise: bool = False  # momentum only: each gradient scaled to unit norm
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    hmc_leapfrog: int = 100  # steps of one trajectory
    hmc_size: float = 0.001
    hmc_beta: float = 0.2  # inverse temperature, multiplied by hmc_anneal after each trajectory
    hmc_anneal: float = 1.0
    goal: float | None = None  # a picture's search ends at this loss
    patience: int = 0  # or where its loss has not fallen within so many steps; 0 is never
    tolerance: float = 0.01  # by this share of itself

    def __post_init__(self) -> None:
        for name, is_right, expected in _RULES:
            value = getattr(self, name)
            if not is_right(value):
                raise InputError(f"cannot search with {name} {value!r}: expected {expected}")

    @property
    def trajectories(self) -> int:
        """How many trajectories HMC's steps are; 0 for the other solvers."""
        return -(-self.steps // (self.hmc_leapfrog + 1)) if self.solver == "hmc" else 0

    def rates(self) -> np.ndarray:
        """What changes from step to step, [steps] of RATES."""
        t = np.arange(1, self.steps + 1, dtype=np.float64)
        rates = np.zeros(self.steps, RATES)
        rates["lr"] = self.lr * (1 - (t - 1) / self.steps) if self.lr_falls else self.lr
        rates["first_correction"] = 1 - self.beta1**t
        rates["second_correction"] = 1 - self.beta2**t
        if self.solver == "hmc":
            rates["beta"] = self.hmc_beta * self.hmc_anneal ** ((t - 1) // (self.hmc_leapfrog + 1))
        return rates


def _between(low: float, high: float) -> Any:
    return lambda value: math.isfinite(value) and low <= value <= high


_RULES: tuple[tuple[str, Any, str], ...] = (
    ("solver", ("momentum", "adam", "hmc").__contains__, "momentum, adam or hmc"),
    ("steps", _between(1, _MAX_STEPS), f"a number from 1 to {_MAX_STEPS}"),
    ("lr", lambda value: math.isfinite(value) and value > 0, "a number above 0"),
    ("lam", lambda value: math.isfinite(value) and value >= 0, "0 or more"),
    ("pull", lambda value: math.isfinite(value) and value >= 0, "0 or more"),
    ("power", (1, 2).__contains__, "1 (L1) or 2 (L2)"),
    ("importance", lambda value: value == 0 or (value > 0 and value % 2), "an odd window, or 0 for none"),
    ("momentum", lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    ("beta1", lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    ("beta2", lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    ("eps", lambda value: math.isfinite(value) and value > 0, "a number above 0"),
    ("hmc_leapfrog", _between(1, _MAX_STEPS), f"a number from 1 to {_MAX_STEPS}"),
    ("hmc_size", lambda value: math.isfinite(value) and value > 0, "a number above 0"),
    ("hmc_beta", lambda value: math.isfinite(value) and value > 0, "a number above 0"),
    ("hmc_anneal", lambda value: math.isfinite(value) and value > 0, "a number above 0"),
    ("goal", lambda value: value is None or math.isfinite(value), "a loss, or None for no goal"),
    ("patience", _between(0, _MAX_STEPS), f"a number from 0 (never) to {_MAX_STEPS}"),
    ("tolerance", lambda value: 0 <= value < 1, "a number from 0 to below 1"),
)

# What each solver starts from where no preset but the default is asked for. Only known pixels near the hole
# count (importance), and z is pulled to the mean of its prior: for each kind of mask that is better than all
# pixels alike without a pull, on faces with a centre hole by 0.4 dB. HMC's temperature suits the plain loss.
SOLVERS = {
    "adam": SearchSettings(importance=15, pull=0.5),
    "momentum": SearchSettings("momentum", lr=0.5, lr_falls=True, normalise=True, importance=15, pull=0.5),
    "hmc": SearchSettings("hmc", steps=336, hmc_leapfrog=20, hmc_size=0.02, hmc_beta=0.5),
}

PRESETS = {
    "default": SOLVERS["adam"],
    # bamos/dcgan-completion.tensorflow: complete.py since May 2017, and as its article has it.
    "reference": SearchSettings("adam", steps=1000, lr=0.01),
    "article": SearchSettings("momentum", steps=1000, lr=0.01),
}


# On faces this ends a search of 300 steps after 77 on average, with 6 % more loss and the same PSNR.
_PATIENCE = 10


def search_settings(
    preset: str = "default", *, solver: str | None = None, until: str = "", **changes: Any
) -> SearchSettings:
    """The settings of ``preset``, with ``changes`` that are not None. Raises InputError.

    Another solver than the preset's takes what suits that solver (default), or the preset's numbers.
    ``until`` ends a picture's search before its steps are used up: "converged" or "loss:X".
    """
    changes |= _stop_rule(until)
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}; expected one of {', '.join(PRESETS)}")
    base = PRESETS[preset]
    if solver is not None:
        base = SOLVERS[solver] if preset == "default" and solver in SOLVERS else replace(base, solver=solver)
    return replace(base, **{name: value for name, value in changes.items() if value is not None})


def _stop_rule(until: str) -> dict[str, Any]:
    kind, _, value = until.partition(":")
    if until in ("", "converged"):
        return {"patience": _PATIENCE} if until else {}
    try:
        if kind == "loss":
            return {"goal": float(value)}
    except ValueError:
        pass
    raise InputError(f"cannot search until {until!r}: expected converged or loss:X, as in loss:250")
