"""What completes a picture: the latent search, the feed-forward pass, or neither; all are asked alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from edgefill.jobs.job import Order
    from edgefill.jobs.photograph import Photograph
    from edgefill.jobs.request import Request

LATENT_SEARCH, FEED_FORWARD, SMOOTH = "latent search", "feed-forward", "smooth"


class Ended(NamedTuple):
    """An order that needs the model no more: ``finish`` says what became of it, or raises EdgefillError."""

    order: Order
    finish: Callable[[], Any]  # called once, in any thread


@dataclass
class Tally:
    """What a method has done so far."""

    steps: int = 0  # or passes, that batches took
    used: int = 0  # places of those, in which something was searched for or drawn
    there: int = 0  # places of those


class Method(Protocol):
    """Completes pictures with one model on one runtime.

    One thread calls it; any may call ``resolved`` and ``without_model``, and another one ``late``.
    """

    places: int  # of a batch
    tally: Tally

    @property
    def is_busy(self) -> bool:
        """Whether there is something to take a turn with."""

    def resolved(self, request: Request) -> Request:
        """``request`` with what it leaves open. Raises EdgefillError for what cannot be asked."""

    def has_room(self, order: Order) -> bool:
        """Whether ``order`` would find a place now."""

    def accept(self, order: Order, photograph: Photograph) -> None:
        """Completes ``photograph`` in turns to come; soon, whether there is room or not."""

    def accept_arrays(
        self, order: Order, pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int]
    ) -> None:
        """Fills uint8 ``pictures [N, H, W, C]`` of the model's size where not ``known [N, H, W]``.

        What comes of them is an array like them.
        """

    def turn(self, until: float) -> list[Ended]:
        """A bit of work, as much as one can be away for, and what has ended with it; what is off is dropped.

        It takes no longer than ``until``, of ``time.perf_counter``, and one step or pass.
        """

    def late(self, now: float) -> list[Ended]:
        """What has ended during a turn because its time is up; a turn for nobody else ends with it."""

    def without_model(self, order: Order, photograph: Photograph) -> Callable[[], Any] | None:
        """What answers ``order`` where there is no time for a turn; None where a turn is needed for that."""

    def withdraw(self) -> None:
        """Forgets everything that is under way."""
