"""A job: one picture to be completed for somebody, until when, and before or after which others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from edgefill.errors import InputError
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request, Source


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a job is; a search also shows what it draws, if its request asks for frames."""

    done: float  # 0 to 1, and 1 when nothing but the finishing is left
    steps: int = 0  # of the search
    photograph: Photograph | None = None
    generated: np.ndarray | None = None  # G(z) where this is a frame, [C, H, W] in [-1, 1]

    @property
    def image(self) -> Image.Image | None:
        """The picture as it is now, of the input's size, unblended; None where there is no frame.

        It is made when it is asked for: in another thread than the scheduler's where it is large.
        """
        if self.photograph is None or self.generated is None:
            return None
        return self.photograph.finished(self.generated, "none").to_pil()


Watcher = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Job:
    """What a Scheduler is given. Raises InputError for a deadline that is no time."""

    source: Source
    request: Request = field(default_factory=Request)
    deadline: float | None = None  # seconds from when it is submitted; then the best so far is the result
    priority: int = 0  # among those that wait the higher is first, then the earlier
    on_progress: Watcher | None = None  # called in the scheduler's thread, which waits for it

    def __post_init__(self) -> None:
        deadline = self.deadline
        if deadline is not None and not (isinstance(deadline, int | float) and 0 < deadline < math.inf):
            raise InputError(f"cannot complete within {deadline!r} seconds: expected a time above 0, or None")


@dataclass(eq=False)
class Order:
    """A job under way, as a method knows it."""

    source: Source
    request: Request  # resolved: with settings where there is a search
    ends_at: float  # of time.perf_counter, when the best so far has to do; inf is never
    rank: tuple[int, int]  # the least is first
    is_off: Callable[[], bool]  # whether nobody wants it any more
    watcher: Watcher | None = None

    def tell(self, progress: Progress) -> None:
        """Lets who watches know."""
        if self.watcher is not None:
            self.watcher(progress)
