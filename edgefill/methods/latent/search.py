"""The search for z, written once in NumPy over any step function.

Everything is per sample: a sample's numbers are the same whatever else is in its batch. A runtime on a device
runs the same steps there; the state is plain arrays for its sake, and ``take_step`` is what its kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from edgefill.errors import ModelError
from edgefill.kernels import reference
from edgefill.methods.latent.latents import Prior, Seed
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import FIT
from edgefill.pictures.evidence import Evidence

RUNNING, FAILED, REACHED, CONVERGED, OUT_OF_TIME = range(5)
"""A row's status: searching, not finite, at its goal, on a plateau, or told to stop."""


class Task(NamedTuple):
    """What is searched for, one row a picture: everything of the step graph's inputs but z."""

    target: np.ndarray  # [N, C, H, W], in [-1, 1]; anything where the weight is 0
    weight: np.ndarray  # [N, 1, H, W]
    block_weight: np.ndarray  # [N, 1, H/8, W/8]
    power: np.ndarray  # [N]
    lam: np.ndarray  # [N]
    anchor: np.ndarray  # [N, Z], where z is pulled to
    pull: np.ndarray  # [N]

    @classmethod
    def of(cls, evidence: Evidence, settings: SearchSettings, anchor: np.ndarray) -> Task:
        """The task of pictures with one objective.

        The encoder knows more than the known pixels say where these are far from what is missing: its z is
        the anchor then, and pulls with the cube of their distance. What is fitted is a sum over channels,
        which say much the same: it pulls with their number too.
        """
        power, lam, pull = (
            np.full(len(anchor), value, np.float32) for value in (settings.power, settings.lam, settings.pull)
        )
        if settings.start == "encoder":
            pull *= evidence.distance() ** 3 * np.float32(evidence.target.shape[1])
        return cls(*evidence.weighed(settings.importance), power, lam, anchor, pull)

    @property
    def graph(self) -> str:
        """The graph that evaluates it: the step, or where no row asks for D the fit."""
        return "step" if self.lam.any() else FIT

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Of that graph, but for z."""
        inputs = self._asdict()
        return inputs if self.lam.any() else {name: inputs[name] for name in inputs if name != "lam"}


class Evaluation(NamedTuple):
    """What the step graph says of z, one row a picture."""

    loss: np.ndarray  # [N]
    gradient: np.ndarray  # [N, Z]
    contextual: np.ndarray  # [N]
    perceptual: np.ndarray  # [N]; 0 where D was not asked


Step = Callable[[np.ndarray, Task], Evaluation]


@dataclass
class SearchState:
    """Where the search of a batch stands; float32 and int32 arrays, one row a picture."""

    task: Task
    settings: SearchSettings
    bound: float  # of |z|
    rates: np.ndarray  # [T] of kernels.arguments.RATES, what changes from step to step
    noise: np.ndarray  # [trajectories, N, Z], HMC: the momentum each trajectory starts with
    uniform: np.ndarray  # [trajectories, N], HMC: decides whether a trajectory's end is taken
    z: np.ndarray  # [N, Z], where the next step evaluates
    first: np.ndarray  # [N, Z], velocity, first moment, L-BFGS's z before, or momentum of HMC
    second: np.ndarray  # [N, Z], second moment, L-BFGS's gradient before, or z at the trajectory's start
    moves: np.ndarray  # [N, M, Z], L-BFGS: of its last steps, and what they changed in the gradient
    changes: np.ndarray  # [N, M, Z]
    curvatures: np.ndarray  # [N, M]
    pairs: np.ndarray  # [N], L-BFGS: moves that were kept so far
    energy: np.ndarray  # [N], HMC: at the trajectory's start
    loss: np.ndarray  # [N], of the last evaluation
    best_z: np.ndarray  # [N, Z], where the loss was least
    best_loss: np.ndarray  # [N], and what it was there
    best_contextual: np.ndarray  # [N]
    best_perceptual: np.ndarray  # [N]
    mark: np.ndarray  # [N], the last loss that was better by more than the tolerance
    marked_at: np.ndarray  # [N], its step
    steps: np.ndarray  # [N], evaluations so far
    limit: np.ndarray  # [N], the row pauses after this many
    status: np.ndarray  # [N], RUNNING or why not

    @classmethod
    def start(
        cls,
        task: Task,
        settings: SearchSettings,
        seeds: Sequence[Seed],
        prior: Prior,
        first: np.ndarray | None = None,
    ) -> SearchState:
        """The state before the first step; row i has the random numbers of ``seeds[i]`` and no others.

        The search begins at ``first [N, Z]``, or at a draw from ``prior``.
        """
        generators = [np.random.default_rng(seed) for seed in seeds]
        drawn = np.stack([prior.draw(rng) for rng in generators])
        z = drawn if first is None else first
        trajectories = settings.trajectories
        noise = [rng.standard_normal((trajectories, prior.z_dim), np.float32) for rng in generators]
        uniform = [rng.random(trajectories, np.float32) for rng in generators]
        rows, z_dim = z.shape
        memory = settings.memory if settings.solver == "lbfgs" else 0
        unknown, none = np.full(rows, np.inf, np.float32), np.zeros(rows, np.int32)
        return cls(
            task,
            settings,
            prior.bound,
            rates=settings.rates(),
            noise=np.stack(noise, axis=1),
            uniform=np.stack(uniform, axis=1),
            z=z,
            first=np.zeros_like(z),
            second=np.zeros_like(z),
            moves=np.zeros((rows, memory, z_dim), np.float32),
            changes=np.zeros((rows, memory, z_dim), np.float32),
            curvatures=np.zeros((rows, memory), np.float32),
            pairs=none.copy(),
            energy=np.zeros(rows, np.float32),
            loss=unknown,
            best_z=z.copy(),
            best_loss=unknown.copy(),
            best_contextual=unknown.copy(),
            best_perceptual=unknown.copy(),
            mark=unknown.copy(),
            marked_at=none.copy(),
            steps=none.copy(),
            limit=none.copy(),
            status=none.copy(),
        )

    @property
    def step(self) -> int:
        """Steps of the row that has taken the most."""
        return int(self.steps.max())

    @property
    def pending(self) -> np.ndarray:
        """True [N] where a row has steps left before its limit."""
        pending: np.ndarray = (self.status == RUNNING) & (self.steps < self.limit)
        return pending

    @property
    def ended_rows(self) -> np.ndarray:
        """True [N] where a row does not search any more: it has stopped, or used up the settings' steps."""
        ended: np.ndarray = (self.status != RUNNING) | (self.steps >= len(self.rates))
        return ended

    @property
    def ended(self) -> bool:
        """True where no row searches any more."""
        return bool(self.ended_rows.all())

    def rows(self, chosen: np.ndarray) -> SearchState:
        """The rows that are true in ``chosen`` [N] alone."""
        arrays: dict[str, Any] = {
            name: np.compress(chosen, getattr(self, name), axis) for name, axis in _ROWS_OF.items()
        }
        return replace(self, task=Task(*(part[chosen] for part in self.task)), **arrays)

    @classmethod
    def joined(cls, *states: SearchState) -> SearchState:
        """The rows of ``states``, which have the same settings, one after the other."""
        task = Task(*map(np.concatenate, zip(*(state.task for state in states), strict=True)))
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(state, name) for state in states], axis)
            for name, axis in _ROWS_OF.items()
        }
        return replace(states[0], task=task, **arrays)

    def allow(self, n: int) -> None:
        """Lets each row take ``n`` steps more, as far as the settings' steps go."""
        self.limit = np.minimum(self.steps + np.int32(n), np.int32(len(self.rates)))


_ROWS_OF = dict.fromkeys(
    ("z", "first", "second", "moves", "changes", "curvatures", "pairs", "energy", "loss", "best_z",
     "best_loss", "best_contextual", "best_perceptual", "mark", "marked_at", "steps", "limit", "status"), 0,
) | {"noise": 1, "uniform": 1}  # the arrays of a state → the axis of its rows  # fmt: skip


def advance(state: SearchState, n: int, evaluate: Step) -> None:
    """Takes ``n`` steps of ``state`` in place; fewer where every row stops before."""
    state.allow(n)
    while state.pending.any():
        take_step(state, evaluate(state.z, state.task))


def search_failed(name: str, step: int) -> ModelError:
    """What to raise where the search for ``name`` ended as FAILED."""
    return ModelError(
        f"the search for {name} stopped at step {step}: its loss or gradient is not finite; "
        "expected numbers; try another seed or a lower learning rate, or a model exported in fp32"
    )


def take_step(state: SearchState, found: Evaluation) -> None:
    """Moves each pending row on by what the step graph ``found`` at its z; the other rows stay as they are.

    A row whose loss or gradient is not finite fails there and keeps its z.
    """
    pending = state.pending
    state.steps = state.steps + pending.astype(np.int32)
    state.loss = np.where(pending, found.loss, state.loss)
    finite = np.isfinite(found.loss) & np.isfinite(found.gradient).all(axis=1)
    state.status = np.where(pending & ~finite, np.int32(FAILED), state.status)
    moving = pending & finite
    _keep_best(state, found, moving)
    with np.errstate(all="ignore"):  # rows that stand still may hold anything
        moved = _UPDATES[state.settings.solver](state, found)
    for name, values in moved.items():
        kept = getattr(state, name)
        rows = moving.reshape(-1, *[1] * (kept.ndim - 1))
        setattr(state, name, np.where(rows, values, kept))
    _decide_to_stop(state, found.loss, moving)


def _keep_best(state: SearchState, found: Evaluation, moving: np.ndarray) -> None:
    better = moving & (found.loss < state.best_loss)
    state.best_z[better] = state.z[better]
    state.best_loss[better] = found.loss[better]
    state.best_contextual[better] = found.contextual[better]
    state.best_perceptual[better] = found.perceptual[better]


def _decide_to_stop(state: SearchState, loss: np.ndarray, moving: np.ndarray) -> None:
    """A row ends at its goal, or where its loss has not fallen by the tolerance within the patience."""
    settings = state.settings
    with np.errstate(invalid="ignore"):  # the first mark is infinite
        lower = state.mark - loss > np.float32(settings.tolerance) * np.abs(state.mark)
    marked = moving & ((state.steps == 1) | lower)
    state.mark = np.where(marked, loss, state.mark)
    state.marked_at = np.where(marked, state.steps, state.marked_at)
    if settings.patience:
        stuck = moving & (state.steps - state.marked_at >= settings.patience)
        state.status = np.where(stuck, np.int32(CONVERGED), state.status)
    if settings.goal is not None:
        reached = moving & (loss <= np.float32(settings.goal))
        state.status = np.where(reached, np.int32(REACHED), state.status)


def _rates(state: SearchState) -> np.ndarray:
    """The rates [N, 1] of the step each row is at; rows before their first have some that nobody uses."""
    rates: np.ndarray = state.rates[np.maximum(state.steps - 1, 0)][:, None]
    return rates


def _momentum(state: SearchState, found: Evaluation) -> dict[str, np.ndarray]:
    settings = state.settings
    z, first = reference.momentum_step(
        state.z,
        state.first,
        found.gradient,
        lr=_rates(state)["lr"],
        momentum=settings.momentum,
        normalise=settings.normalise,
        bound=state.bound,
    )
    return {"z": z, "first": first}


def _adam(state: SearchState, found: Evaluation) -> dict[str, np.ndarray]:
    settings, rates = state.settings, _rates(state)
    z, first, second = reference.adam_step(
        state.z,
        state.first,
        state.second,
        found.gradient,
        lr=rates["lr"],
        first_correction=rates["first_correction"],
        second_correction=rates["second_correction"],
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        bound=state.bound,
    )
    return {"z": z, "first": first, "second": second}


def _lbfgs(state: SearchState, found: Evaluation) -> dict[str, np.ndarray]:
    """The first step has none before it, and what stands for that shows no curvature."""
    moved = (state.steps > 1)[:, None]
    pairs = reference.lbfgs_remember(
        reference.Pairs(state.moves, state.changes, state.curvatures, state.pairs),
        np.where(moved, state.z - state.first, np.float32(0)),
        np.where(moved, found.gradient - state.second, np.float32(0)),
    )
    direction = reference.lbfgs_direction(found.gradient, pairs)
    z = reference.lbfgs_step(state.z, direction, lr=_rates(state)["lr"], bound=state.bound)
    kept = dict(zip(("moves", "changes", "curvatures", "pairs"), pairs, strict=True))
    return {"z": z, "first": state.z, "second": found.gradient, **kept}


def _hmc(state: SearchState, found: Evaluation) -> dict[str, np.ndarray]:
    """One evaluation of Hamiltonian Monte Carlo: the first of a trajectory starts it, L more walk it."""
    settings, size, beta = state.settings, state.settings.hmc_size, _rates(state)["beta"]
    trajectory, position = np.divmod(np.maximum(state.steps - 1, 0), settings.hmc_leapfrog + 1)
    starts, ends = (position == 0)[:, None], (position == settings.hmc_leapfrog)[:, None]
    rows = np.arange(len(state.z))
    arrived = reference.hmc_half_kick(state.first, found.gradient, size=size, beta=beta)
    momentum = np.where(starts, state.noise[trajectory, rows], arrived)
    origin = np.where(starts, state.z, state.second)
    energy = reference.hmc_energy(found.loss, momentum, beta=beta[:, 0])
    accepted = reference.hmc_accepts(state.energy, energy, state.uniform[trajectory, rows])[:, None]
    kicked = reference.hmc_half_kick(momentum, found.gradient, size=size, beta=beta)
    drifted = reference.hmc_drift(state.z, kicked, size=size, bound=state.bound)
    return {
        "z": np.where(ends, np.where(accepted, state.z, origin), drifted),
        "first": np.where(ends, momentum, kicked),
        "second": origin,
        "energy": np.where(starts[:, 0], energy, state.energy),
    }


_UPDATES: dict[str, Callable[[SearchState, Evaluation], dict[str, np.ndarray]]] = {
    "momentum": _momentum,
    "adam": _adam,
    "lbfgs": _lbfgs,
    "hmc": _hmc,
}
