"""The search for z, written once in NumPy over any step function.

Everything is per sample: a sample's numbers are the same whatever else is in its batch. A backend on a device
may run the same steps there; the state is plain arrays for its sake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgefill.completion.latents import Prior
from edgefill.completion.settings import SearchSettings
from edgefill.kernels import reference


class Task(NamedTuple):
    """What is searched for, one row a picture: everything of the step graph's inputs but z."""

    target: np.ndarray  # [N, C, H, W], in [-1, 1]; anything where the weight is 0
    weight: np.ndarray  # [N, 1, H, W]
    block_weight: np.ndarray  # [N, 1, H/8, W/8]
    power: np.ndarray  # [N]
    lam: np.ndarray  # [N]


class Evaluation(NamedTuple):
    """What the step graph says of z, one row a picture."""

    loss: np.ndarray  # [N]
    gradient: np.ndarray  # [N, Z]
    generated: np.ndarray  # [N, C, H, W]
    contextual: np.ndarray  # [N]
    perceptual: np.ndarray  # [N]


Step = Callable[[np.ndarray, Task], Evaluation]


@dataclass
class SearchState:
    """Where the search of a batch stands."""

    task: Task
    settings: SearchSettings
    bound: float  # of |z|
    z: np.ndarray  # [N, Z], where the next step evaluates
    noise: np.ndarray  # [T, N, Z], HMC: the momentum each trajectory starts with
    uniform: np.ndarray  # [T, N], HMC: decides whether a trajectory's end is taken
    first: np.ndarray  # [N, Z], velocity, first moment, or momentum of HMC
    second: np.ndarray  # [N, Z], second moment, or z at the trajectory's start
    energy: np.ndarray  # [N], HMC: at the trajectory's start
    failed_at: np.ndarray  # [N], the first step whose loss or gradient was not finite, or 0
    last: Evaluation
    best: Evaluation  # of each row the one with the least loss
    best_z: np.ndarray  # [N, Z], where that was
    step: int = 0  # evaluations so far

    @classmethod
    def start(cls, task: Task, settings: SearchSettings, seeds: Sequence[int], prior: Prior) -> SearchState:
        """The state before the first step; row i has the random numbers of ``seeds[i]`` and no others."""
        trajectories = 0
        if settings.solver == "hmc":
            trajectories = -(-settings.steps // (settings.hmc_leapfrog + 1))
        generators = [np.random.default_rng(seed) for seed in seeds]
        z = np.stack([prior.draw(rng) for rng in generators])
        noise = [rng.standard_normal((trajectories, prior.z_dim), np.float32) for rng in generators]
        uniform = [rng.random(trajectories, np.float32) for rng in generators]
        nothing = np.full(len(z), np.inf, np.float32)
        unknown = Evaluation(nothing, np.zeros_like(z), np.zeros_like(task.target), nothing, nothing)
        return cls(
            task,
            settings,
            prior.bound,
            z=z,
            noise=np.stack(noise, axis=1),
            uniform=np.stack(uniform, axis=1),
            first=np.zeros_like(z),
            second=np.zeros_like(z),
            energy=np.zeros(len(z), np.float32),
            failed_at=np.zeros(len(z), np.int64),
            last=unknown,
            best=Evaluation(*(array.copy() for array in unknown)),
            best_z=z.copy(),
        )


def advance(state: SearchState, n: int, evaluate: Step) -> None:
    """Takes ``n`` steps of ``state`` in place.

    A row whose loss or gradient is not finite stands still from then on, and ``failed_at`` says since when.
    """
    update = _UPDATES[state.settings.solver]
    for _ in range(n):
        found = evaluate(state.z, state.task)
        state.step += 1
        finite = np.isfinite(found.loss) & np.isfinite(found.gradient).all(axis=1)
        state.failed_at[~finite & (state.failed_at == 0)] = state.step
        found = found._replace(
            loss=np.where(finite, found.loss, np.float32(0)),
            gradient=np.where(finite[:, None], found.gradient, np.float32(0)),
        )
        _keep_best(state, found, finite)
        moved = update(state, found)
        state.z = np.where(state.failed_at[:, None] == 0, moved, state.z)
        state.last = found


def _keep_best(state: SearchState, found: Evaluation, finite: np.ndarray) -> None:
    better = finite & (found.loss < state.best.loss)
    state.best_z[better] = state.z[better]
    for kept, new in zip(state.best, found, strict=True):
        kept[better] = new[better]


def _momentum(state: SearchState, found: Evaluation) -> np.ndarray:
    settings = state.settings
    z: np.ndarray
    z, state.first = reference.momentum_step(
        state.z,
        state.first,
        found.gradient,
        lr=settings.lr_at(state.step),
        momentum=settings.momentum,
        normalise=settings.normalise,
        bound=state.bound,
    )
    return z


def _adam(state: SearchState, found: Evaluation) -> np.ndarray:
    settings = state.settings
    z: np.ndarray
    z, state.first, state.second = reference.adam_step(
        state.z,
        state.first,
        state.second,
        found.gradient,
        step=state.step,
        lr=settings.lr_at(state.step),
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        bound=state.bound,
    )
    return z


def _hmc(state: SearchState, found: Evaluation) -> np.ndarray:
    """One evaluation of Hamiltonian Monte Carlo: the first of a trajectory starts it, L more walk it."""
    settings = state.settings
    trajectory, position = divmod(state.step - 1, settings.hmc_leapfrog + 1)
    size, beta = settings.hmc_size, settings.hmc_beta * settings.hmc_anneal**trajectory
    if position == 0:
        state.first, state.second = state.noise[trajectory], state.z
        state.energy = reference.hmc_energy(found.loss, state.first, beta=beta)
    else:
        state.first = reference.hmc_half_kick(state.first, found.gradient, size=size, beta=beta)
    if position == settings.hmc_leapfrog:
        energy = reference.hmc_energy(found.loss, state.first, beta=beta)
        accepted = reference.hmc_accepts(state.energy, energy, state.uniform[trajectory])
        return np.where(accepted[:, None], state.z, state.second)
    state.first = reference.hmc_half_kick(state.first, found.gradient, size=size, beta=beta)
    z: np.ndarray = reference.hmc_drift(state.z, state.first, size=size, bound=state.bound)
    return z


_UPDATES: dict[str, Callable[[SearchState, Evaluation], np.ndarray]] = {
    "momentum": _momentum,
    "adam": _adam,
    "hmc": _hmc,
}
