"""The search for z, written once in NumPy over any step function.

Everything is per sample: a sample's numbers are the same whatever else is in its batch. A runtime on a device
runs the same steps there; the state is plain arrays for its sake, and ``take_step`` is what its kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgefill.errors import ModelError
from edgefill.kernels.solvers.solver import Array, Sight
from edgefill.methods.latent.elsewhere import LARGE, Elsewhere
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
        the anchor then, and pulls with the fourth power of their distance. What is fitted is a sum over
        channels, which say much the same: it pulls with their number too.
        """
        power, lam, pull = (
            np.full(len(anchor), value, np.float32) for value in (settings.power, settings.lam, settings.pull)
        )
        if settings.start == "encoder":
            pull *= evidence.distance() ** 4 * np.float32(evidence.target.shape[1])
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


COMMON = (
    Array("z"),
    Array("loss", ()),
    Array("best_z"),
    *(Array(name, ()) for name in ("best_loss", "best_contextual", "best_perceptual", "mark")),
    *(Array(name, (), "int") for name in ("marked_at", "steps", "limit", "status")),
)
"""The fields of a state that a search changes, whatever its solver."""

NUMBERS = tuple(each.name for each in COMMON if not each.sides)
"""Those of them that are one number a row."""


@dataclass
class SearchState:
    """Where the search of a batch stands; float32 and int32 arrays, one row a picture.

    A runtime may keep z, best_z and the solver's arrays where it computes: they come when somebody reads
    them, and not where rows are only parted or joined.
    """

    task: Task
    settings: SearchSettings
    bound: float  # of |z|
    rates: np.ndarray  # [T], what changes from step to step
    drawn: dict[str, np.ndarray]  # the solver's random numbers, [draws, N, …]
    own: dict[str, np.ndarray]  # the solver's arrays, [N, …]
    z: np.ndarray  # [N, Z], where the next step evaluates
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
    elsewhere: Elsewhere | None = None  # where z, best_z and own were left

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
        rows, z_dim = z.shape
        solver = settings.solver
        draws = [solver.draw(rng, settings.steps, z_dim) for rng in generators]
        unknown, none = np.full(rows, np.inf, np.float32), np.zeros(rows, np.int32)
        return cls(
            task,
            settings,
            prior.bound,
            rates=settings.rates(prior.z_dim / z_dim),
            drawn={each.name: np.stack([one[each.name] for one in draws], axis=1) for each in solver.drawn},
            own={
                name: np.zeros((rows, *shape), dtype) for name, (shape, dtype) in solver.shapes(z_dim).items()
            },
            z=z,
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

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What a search changes, by name, a row for each picture; the solver's are among them."""
        return {**{each.name: getattr(self, each.name) for each in COMMON}, **self.own}

    @property
    def large(self) -> dict[str, np.ndarray]:
        """Those of ``arrays`` that may be elsewhere."""
        return {"z": self.z, "best_z": self.best_z, **self.own}

    @property
    def changed(self) -> dict[str, np.ndarray]:
        """Of ``large`` what is here, and not as it lies elsewhere."""
        brought = self.elsewhere.brought if self.elsewhere else {}
        here = {name: vars(self)[name] for name in LARGE if name in vars(self)}
        changed = {name: value for name, value in here.items() if value is not brought.get(name)}
        return {**changed, **changed.pop("own", {})}

    @property
    def left(self) -> Elsewhere | None:
        """Where all of ``large`` lies as it is, if it was left anywhere."""
        there = self.elsewhere
        return there if there is not None and there.place is not None and not self.changed else None

    @property
    def width(self) -> int:
        """How many numbers of a row are moved, Z."""
        return int(self.task.anchor.shape[1])

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes ``arrays``, which are all, in the place of those of their names."""
        names = [each.name for each in COMMON]
        for name in names:
            setattr(self, name, arrays[name])
        self.own = {name: array for name, array in arrays.items() if name not in names}
        self.elsewhere = None

    def leave(self, numbers: Mapping[str, np.ndarray], elsewhere: Elsewhere) -> None:
        """Takes ``numbers``, which are all NUMBERS, and leaves the rest ``elsewhere``."""
        vars(self).update(numbers, elsewhere=elsewhere)
        for name in LARGE:
            vars(self).pop(name, None)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What was left elsewhere, which is here from now on."""
            elsewhere = vars(self).get("elsewhere")
            if elsewhere is None or name not in LARGE:
                raise AttributeError(f"a SearchState has no {name}")
            vars(self)[name] = brought = elsewhere.read(name)
            return brought

    def rows(self, chosen: np.ndarray) -> SearchState:
        """The rows that are true in ``chosen`` [N] alone."""
        chosen_of = copy(self)
        chosen_of.task = Task(*(part[chosen] for part in self.task))
        chosen_of.drawn = {name: np.compress(chosen, array, 1) for name, array in self.drawn.items()}
        if left := self.left:
            numbers = {name: getattr(self, name)[chosen] for name in NUMBERS}
            chosen_of.leave(numbers, left.rows(chosen))
        else:
            chosen_of.put({name: np.compress(chosen, array, 0) for name, array in self.arrays.items()})
        return chosen_of

    @classmethod
    def joined(cls, *states: SearchState) -> SearchState:
        """The rows of ``states``, which have the same settings, one after the other."""
        first, *others = states
        whole = copy(first)
        whole.task = Task(*map(np.concatenate, zip(*(state.task for state in states), strict=True)))
        whole.drawn = {
            name: np.concatenate([state.drawn[name] for state in states], 1) for name in whole.drawn
        }
        if left := first.left:
            for other in others:
                left = left.with_rows(other.large)
            numbers = {name: np.concatenate([getattr(state, name) for state in states]) for name in NUMBERS}
            whole.leave(numbers, left)
        else:
            parts = [state.arrays for state in states]
            whole.put({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return whole

    def allow(self, n: int) -> None:
        """Lets each row take ``n`` steps more, as far as the settings' steps go."""
        self.limit = np.minimum(self.steps + np.int32(n), np.int32(len(self.rates)))


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
        update = state.settings.solver.update(_sight(state, found))
    state.z = _where(moving, update.z, state.z)
    changed = {name: _where(moving, values, state.own[name]) for name, values in update.own.items()}
    state.own = {**state.own, **changed}
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


def _sight(state: SearchState, found: Evaluation) -> Sight:
    """What the solver sees; rows before their first step have rates that nobody uses."""
    rates = state.rates[np.maximum(state.steps - 1, 0)][:, None]
    seen = found.loss, found.gradient, state.steps
    return Sight(state.z, *seen, rates, state.own, state.drawn, state.bound)


def _where(rows: np.ndarray, values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """``values`` in the rows that are true, ``others`` elsewhere."""
    chosen: np.ndarray = np.where(rows.reshape(-1, *[1] * (others.ndim - 1)), values, others)
    return chosen
