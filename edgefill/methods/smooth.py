"""Completion without a network and without a file: as smooth as can be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from edgefill import __version__
from edgefill.errors import InputError, ModelError
from edgefill.holes.smooth import smooth_drawing
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request, Result
from edgefill.methods import SMOOTH, Ended, Tally
from edgefill.methods.feed_forward.network import check_feed_forward
from edgefill.methods.latent.search import SearchState
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Footprint, Runtime, RuntimeInfo, StepTimes

MODEL = Manifest(
    name=SMOOTH,
    family="biharmonic and harmonic filling",
    licence="MIT",
    origin="edgefill",
    edgefill=__version__,
)


class Smooth:
    """Fills pictures as the scheduler asks for it; see ``Method``. All of the work is finishing them."""

    def __init__(self, model: Manifest, runtime: Runtime, places: int) -> None:
        self._model, self.places, self.tally = model, places, Tally()
        self._ended: list[Ended] = []

    @property
    def is_busy(self) -> bool:
        return bool(self._ended)

    def resolved(self, request: Request) -> Request:
        """As it is. Raises InputError for what only a search can give."""
        check_feed_forward(request, self._model)
        return request

    def has_room(self, order: Order) -> bool:
        return len(self._ended) < self.places

    def accept(self, order: Order, photograph: Photograph) -> None:
        self._ended.append(Ended(order, lambda: _completed(order, photograph)))

    def accept_arrays(
        self, order: Order, pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int]
    ) -> None:
        self._ended.append(Ended(order, lambda: _filled(pictures, known)))

    def turn(self, until: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        self.tally.steps += 1
        self.tally.used += len(ended)
        self.tally.there += self.places
        return [each for each in ended if not each.order.is_off()]

    def late(self, now: float) -> list[Ended]:
        """None: a turn takes no time."""
        return []

    def without_model(self, order: Order, photograph: Photograph) -> None:
        """None: all of the work is finishing."""

    def withdraw(self) -> None:
        self._ended = []


def _completed(order: Order, photograph: Photograph) -> Result:
    started = time.perf_counter()
    drawn = smooth_drawing(photograph.region, photograph.known)
    picture = photograph.filled(drawn, "none")
    return Result(order.source, photograph, picture, ended="pass", seconds=time.perf_counter() - started)


def _filled(pictures: np.ndarray, known: np.ndarray) -> np.ndarray:
    drawn = np.stack([smooth_drawing(*pair) for pair in zip(pictures, known, strict=True)])
    return np.where(known[:, :, :, None], pictures, from_unit(drawn))


def open_smooth(backend: str) -> NumPy:
    """What the method computes with. Raises InputError for a ``backend``, which it does not need."""
    if backend not in ("auto", "cpu"):
        raise InputError(
            f"the model {SMOOTH} has no network that {backend!r} could run; expected auto or cpu: leave the "
            "backend out"
        )
    return NumPy()


class NumPy:
    """A runtime without graphs: all that it says is what it is."""

    info = RuntimeInfo("cpu", f"NumPy {np.__version__}", "CPU, 1 thread")
    features, one_size = 0, False

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> NoReturn:
        raise ModelError(f"the model {SMOOTH} has no graph {graph!r}; expected a model with a network")

    def interrupt(self) -> None:
        pass

    def solve(self, state: SearchState, n: int) -> NoReturn:
        self.run("step", {})

    def timed(self, state: SearchState, n: int) -> StepTimes:
        self.run("step", {})

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> NoReturn:
        self.run("generator", {})

    def footprint(self) -> Footprint:
        return Footprint()

    def close(self) -> None:
        pass
