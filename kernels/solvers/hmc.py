"""Hamiltonian Monte Carlo in the field of β · loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgefill.kernels.solvers.solver import Array, Sight, Solver, Suited, Update, project, setting
from edgefill.limits import LIMITS

Rate = float | np.ndarray


@dataclass(frozen=True)
class HMC(Solver):
    """Trajectories of L leapfrog steps from fresh noise, whose end is taken or not by its energy.

    A trajectory is L + 1 evaluations: the first starts it, L more walk it, and the last of them takes its end
    or goes back.
    """

    name: ClassVar = "hmc"
    own: ClassVar = (
        Array("momentum"),
        Array("origin", note="z at the trajectory's start"),
        Array("energy", (), note="at the trajectory's start"),
    )
    drawn: ClassVar = (
        Array("noise", note="the momentum that each trajectory starts with"),
        Array("uniform", (), note="decides whether a trajectory's end is taken"),
    )

    leapfrog: int = setting(100, LIMITS["search_steps"], "steps of one trajectory, L")
    size: float = setting(0.001, LIMITS["lr"], "of a leapfrog step")
    beta: float = setting(0.2, LIMITS["lr"], "inverse temperature of the first trajectory, β")
    anneal: float = setting(1.0, LIMITS["lr"], "what β is multiplied by after each trajectory")

    @classmethod
    def suited(cls, start: str) -> Suited:
        """Its temperature suits the plain loss, and it has no learning rate and no plateau."""
        plain = {"lr": 0.1, "lam": 0.1, "pull": 0.0, "power": 1, "importance": 0}
        plain |= {"patience": 0, "tolerance": 0.01, "steps": 336}
        return Suited(cls(leapfrog=20, size=0.02, beta=0.5), plain)

    def rates(self, t: np.ndarray) -> dict[str, np.ndarray]:
        """β of each step's trajectory."""
        return {"beta": self.beta * self.anneal ** ((t - 1) // (self.leapfrog + 1))}

    def draw(self, rng: np.random.Generator, steps: int, z_dim: int) -> dict[str, np.ndarray]:
        """For each trajectory: its first momentum, and a number from 0 to 1."""
        trajectories = -(-steps // (self.leapfrog + 1))
        noise = rng.standard_normal((trajectories, z_dim), np.float32)
        return {"noise": noise, "uniform": rng.random(trajectories, np.float32)}

    def update(self, sight: Sight) -> Update:
        """One evaluation of a trajectory."""
        size, beta = self.size, sight.rates["beta"]
        trajectory, position = np.divmod(np.maximum(sight.steps - 1, 0), self.leapfrog + 1)
        starts, ends = (position == 0)[:, None], (position == self.leapfrog)[:, None]
        rows = np.arange(len(sight.z))
        arrived = half_kick(sight.own["momentum"], sight.gradient, size=size, beta=beta)
        momentum = np.where(starts, sight.drawn["noise"][trajectory, rows], arrived)
        origin = np.where(starts, sight.z, sight.own["origin"])
        energy = energy_of(sight.loss, momentum, beta=beta[:, 0])
        accepted = accepts(sight.own["energy"], energy, sight.drawn["uniform"][trajectory, rows])[:, None]
        kicked = half_kick(momentum, sight.gradient, size=size, beta=beta)
        drifted = drift(sight.z, kicked, size=size, bound=sight.bound)
        return Update(
            np.where(ends, np.where(accepted, sight.z, origin), drifted),
            {
                "momentum": np.where(ends, momentum, kicked),
                "origin": origin,
                "energy": np.where(starts[:, 0], energy, sight.own["energy"]),
            },
        )

    def numbers(self) -> dict[str, float]:
        """What the steps of a trajectory need; the temperature is a rate."""
        return {"leapfrog": self.leapfrog, "size": self.size, "half_size": self.size / 2}


def half_kick(momentum: np.ndarray, gradient: np.ndarray, *, size: float, beta: Rate) -> np.ndarray:
    """The momentum [N, Z] half a leapfrog step later in the field of β · loss: p' = p − ε/2 · β g."""
    kicked: np.ndarray = momentum - (size / 2 * beta) * gradient
    return kicked


def drift(z: np.ndarray, momentum: np.ndarray, *, size: float, bound: float = 1.0) -> np.ndarray:
    """The z [N, Z] one leapfrog step later: z' = clip(z + ε p, ±bound)."""
    return project(z + size * momentum, bound)


def energy_of(loss: np.ndarray, momentum: np.ndarray, *, beta: Rate) -> np.ndarray:
    """Potential and kinetic energy [N]: β · loss + |p|² / 2; ``beta`` a number or [N]."""
    energy: np.ndarray = beta * loss + np.sum(momentum * momentum, axis=1) / 2
    return energy


def accepts(before: np.ndarray, after: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """True [N] where a trajectory's end is taken: with probability min(1, exp(before − after))."""
    accepted: np.ndarray = uniform <= np.exp(np.minimum(before - after, 0))
    return accepted
