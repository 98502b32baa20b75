"""The search on the host: NumPy takes the steps, a function evaluates the loss and its gradient."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgefill.methods.latent.search import Evaluation, SearchState, Step, Task, advance
from edgefill.pictures.images import from_unit
from edgefill.runtimes import BackendInfo, Footprint, StepTimes


class HostBackend:
    """A backend whose ``evaluate`` and ``generate`` run anywhere and whose updates run in NumPy."""

    info: BackendInfo

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The encoder's z, [N, Z], of what ``Evidence.seen`` gives."""
        raise NotImplementedError

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Completed pictures [N, C, H, W] by a network of one pass, from them and ``known [N, 1, H, W]``."""
        raise NotImplementedError

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        """Loss, gradient and G(z) of one step, on the host."""
        raise NotImplementedError

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z), [N, C, H, W] in [-1, 1], of ``z [N, Z]``."""
        raise NotImplementedError

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place."""
        advance(state, n, self.evaluate)

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""
        composed = np.where(known[:, None], target, self.generate(z))
        return from_unit(composed.transpose(0, 2, 3, 1))

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""
        begin = time.perf_counter()
        self.solve(state, n)
        seconds = time.perf_counter() - begin
        return StepTimes(seconds, seconds)

    def footprint(self) -> Footprint:
        """Nothing that is known here."""
        return Footprint()

    def close(self) -> None:
        """Nothing to give back: the host's memory goes with the object."""


class FakeBackend(HostBackend):
    """A backend of functions, for tests: what a model would say, without a model."""

    info = BackendInfo("fake", "NumPy", "CPU")

    def __init__(
        self,
        step: Step,
        generate: Callable[[np.ndarray], np.ndarray],
        encode: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._step = step
        self._generate = generate
        self._encode = encode

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        return super().encode(picture, known) if self._encode is None else self._encode(picture, known)

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        return self._step(z, task)

    def generate(self, z: np.ndarray) -> np.ndarray:
        return self._generate(z)
