"""Projected Adam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgefill.kernels.solvers.solver import Array, Sight, Solver, Suited, Update, project, setting
from edgefill.limits import LIMITS


@dataclass(frozen=True)
class Adam(Solver):
    """m' = β₁ m + (1 − β₁) g; v' = β₂ v + (1 − β₂) g²; z' = clip(z − η m̂ / (√v̂ + ε), ±bound).

    The moments are corrected for their start at zero: m̂ = m' / (1 − β₁ᵗ), v̂ = v' / (1 − β₂ᵗ) at step t,
    counted from 1. The corrections are worked out in float64 before the search: step 10⁶ is as exact as 1.
    """

    name: ClassVar = "adam"
    own: ClassVar = (Array("first_moment"), Array("second_moment"))

    beta1: float = setting(0.9, LIMITS["decay"], "how much of the mean gradient stays, β₁")
    beta2: float = setting(0.999, LIMITS["decay"], "how much of the mean square stays, β₂")
    eps: float = setting(1e-8, LIMITS["lr"], "what keeps the divisor from 0, ε")

    @classmethod
    def suited(cls, start: str) -> Suited:
        """Itself from a random start; near the encoder's z it forgets sooner, and its steps get shorter."""
        if start == "encoder":
            return Suited(cls(beta1=0.7, beta2=0.9), {"lr": 0.06, "lr_falls": True})
        return Suited(cls())

    def rates(self, t: np.ndarray) -> dict[str, np.ndarray]:
        """1 − β₁ᵗ and 1 − β₂ᵗ."""
        return {"first_correction": 1 - self.beta1**t, "second_correction": 1 - self.beta2**t}

    def update(self, sight: Sight) -> Update:
        """As above."""
        gradient, rates = sight.gradient, sight.rates
        first = self.beta1 * sight.own["first_moment"] + (1 - self.beta1) * gradient
        second = self.beta2 * sight.own["second_moment"] + (1 - self.beta2) * (gradient * gradient)
        corrected_first = first / rates["first_correction"]
        corrected_second = second / rates["second_correction"]
        step = rates["lr"] * corrected_first / (np.sqrt(corrected_second) + self.eps)
        return Update(project(sight.z - step, sight.bound), {"first_moment": first, "second_moment": second})

    def numbers(self) -> dict[str, float]:
        """The settings, and what is left of each share."""
        return {
            "beta1": self.beta1,
            "beta1_rest": 1 - self.beta1,
            "beta2": self.beta2,
            "beta2_rest": 1 - self.beta2,
            "eps": self.eps,
        }
