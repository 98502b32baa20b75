"""Projected momentum in Nesterov's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgefill.kernels.solvers.solver import Array, Sight, Solver, Suited, Update, project, setting
from edgefill.limits import LIMITS

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Momentum(Solver):
    """v' = μ v − η g; z' = clip(z − μ v + (1 + μ) v', ±bound).

    With ``normalise`` each sample's gradient is first scaled to unit norm, so that η does not depend on how
    many pixels the loss sums over.
    """

    name: ClassVar = "momentum"
    own: ClassVar = (Array("velocity"),)

    momentum: float = setting(0.9, LIMITS["decay"], "how much of the velocity stays, μ")
    normalise: bool = setting(False, None, "whether each gradient is scaled to unit norm")

    @classmethod
    def suited(cls, start: str) -> Suited:
        """Steps whose length does not depend on the loss; from a random start they get shorter."""
        changes = {"lr": 0.1} if start == "encoder" else {"lr": 0.5, "lr_falls": True}
        return Suited(cls(normalise=True), changes)

    def update(self, sight: Sight) -> Update:
        """As above."""
        mu, velocity, gradient = self.momentum, sight.own["velocity"], sight.gradient
        if self.normalise:
            norm = np.sqrt(np.sum(gradient * gradient, axis=1, keepdims=True))
            gradient = gradient / np.maximum(norm, _TINY)
        following = mu * velocity - sight.rates["lr"] * gradient
        z = project(sight.z - mu * velocity + (1 + mu) * following, sight.bound)
        return Update(z, {"velocity": following})

    def numbers(self) -> dict[str, float]:
        """μ, 1 + μ and whether gradients are scaled."""
        return {
            "momentum": self.momentum,
            "momentum_ahead": 1 + self.momentum,
            "normalise": self.normalise,
        }
