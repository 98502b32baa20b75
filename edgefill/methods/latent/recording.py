"""What is kept of one picture's search on its way: loss and z of each step, and frames of G(z)."""

from __future__ import annotations

import numpy as np

from edgefill.jobs.request import Request, Trace
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.search import SearchState
from edgefill.methods.latent.settings import SearchSettings
from edgefill.runtimes import Runtime


class Recording:
    """Asks to look at a search as often as the ``request`` needs it, and keeps what it sees."""

    def __init__(self, request: Request, runtime: Runtime) -> None:
        self._total = (request.settings or SearchSettings()).steps
        self._every = max(1, round(self._total / request.frames)) if request.frames else 0
        self._traced = request.trace
        self._runtime = runtime
        self._steps = 0
        self._losses: list[float] = []
        self._latents: list[np.ndarray] = []
        self._frames: list[np.ndarray] = []

    @property
    def last_frame(self) -> np.ndarray | None:
        """The newest frame, [C, H, W]."""
        return self._frames[-1] if self._frames else None

    def steps_to_next(self, taken: int) -> int:
        """Steps until something is to be kept, or to the end, after those ``taken``."""
        if self._traced:
            return 1
        left = self._total - taken
        return min(left, self._every - taken % self._every) if self._every else left

    def before(self, state: SearchState, row: int) -> None:
        """Keeps where the next step starts from."""
        self._steps = int(state.steps[row])
        if self._traced:
            self._latents.append(state.z[row])
        if not self._frames and self._every:
            self._keep_frame(state, row)

    def after(self, state: SearchState, row: int) -> None:
        """Keeps what the last step found."""
        if self._traced:
            self._losses.append(float(state.loss[row]))
        if self._every and state.steps[row] != self._steps and state.steps[row] % self._every == 0:
            self._keep_frame(state, row)

    def trace(self) -> Trace | None:
        """What its steps found, if that was asked for."""
        return Trace(np.array(self._losses, np.float32), np.stack(self._latents)) if self._traced else None

    def frames(self) -> tuple[np.ndarray, ...]:
        return tuple(self._frames)

    def _keep_frame(self, state: SearchState, row: int) -> None:
        self._frames.append(generate(self._runtime, state.z[row : row + 1])[0])
