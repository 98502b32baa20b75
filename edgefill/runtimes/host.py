"""The search on the host: NumPy takes the steps, whatever runs the graphs says loss and gradient."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import numpy as np

from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.search import SearchState, advance
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Footprint, RuntimeInfo, StepTimes


class HostRuntime:
    """A runtime that has ``run``; what it says of a search follows from that, with the updates in NumPy."""

    info: RuntimeInfo

    @property
    def features(self) -> int:
        """None: it runs the graphs as they are."""
        return 0

    @property
    def one_size(self) -> bool:
        """It takes what the network takes."""
        return False

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of ``graph`` by name, for ``feeds`` of any number of rows."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Nothing: what runs goes on to its end."""

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place."""
        advance(state, n, partial(evaluate, self))

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""
        composed = np.where(known[:, None], target, generate(self, z))
        return from_unit(composed.transpose(0, 2, 3, 1))

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""
        begin, before = time.perf_counter(), state.step
        self.solve(state, n)
        seconds = time.perf_counter() - begin
        return StepTimes(seconds, seconds, steps=state.step - before)

    def footprint(self) -> Footprint:
        """Nothing that is known here."""
        return Footprint()

    def close(self) -> None:
        """Nothing to give back: the host's memory goes with the object."""
