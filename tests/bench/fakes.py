"""A runtime whose clock is scripted: what it says its steps took, and time that passes as it works."""

from __future__ import annotations

from dataclasses import replace

from edgefill.methods.latent.search import SearchState
from edgefill.runtimes import Footprint, RuntimeInfo, StepTimes
from tests.completion.fakes import FakeRuntime, fake_model, fake_runtime

MODEL = fake_model()
SEARCH_STEPS, SEARCH_SECONDS, BUILD_SECONDS, FIRST_SECONDS = 12, 0.5, 7.0, 0.25


class TimedRuntime(FakeRuntime):
    """Each launch says 8 ms on the device, 4 ms on the host, 1 ms of copies; its first builds and loads."""

    def __init__(self, at_once: int = 4) -> None:
        fake = fake_runtime(MODEL)
        super().__init__(fake.step, fake.generate)
        self.info = RuntimeInfo("fake", "scripted", "none", at_once)
        self.now, self.closed = 0.0, False
        self.launches: list[tuple[int, SearchState]] = []
        self._footprint = Footprint(plan_bytes=1000, device_bytes=2000)

    def clock(self) -> float:
        return self.now

    def solve(self, state: SearchState, n: int) -> None:
        self.now += SEARCH_SECONDS * n / SEARCH_STEPS
        super().solve(state, n)

    def timed(self, state: SearchState, n: int) -> StepTimes:
        if not self.launches:
            self.now += BUILD_SECONDS + FIRST_SECONDS
            self._footprint = replace(self._footprint, build_seconds=6.0, load_seconds=1.0)
        self.launches.append((n, state))
        super().solve(state, n)
        return StepTimes(host=4e-3, device=8e-3, copies=1e-3)

    def footprint(self) -> Footprint:
        return self._footprint

    def close(self) -> None:
        self.closed = True
