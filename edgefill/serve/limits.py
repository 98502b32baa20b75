"""What one client, and all of them together, may ask of a server."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgefill.errors import InputError
from edgefill.pictures.images import MAX_PIXELS

_ABOVE_NONE = (
    "body_bytes", "held_bytes", "pixels", "waiting", "seconds", "idle_seconds", "receive_seconds",
    "connections", "kept_jobs", "kept_bytes", "kept_seconds", "drain_seconds",
)  # fmt: skip
MOST_STARTS = 64  # of best-of:N; they are scored before a search looks at its clock


@dataclass(frozen=True)
class Limits:
    """The limits of a server. Raises InputError for one that is not above 0."""

    body_bytes: int = 64 << 20  # of one request
    held_bytes: int = 512 << 20  # of all requests that are received, or wait for their answer
    pixels: int = MAX_PIXELS  # of one picture
    waiting: int = 32  # jobs of a model that wait for their turn
    seconds: float = 60.0  # that one job may take; then its best so far is the answer
    idle_seconds: float = 10.0  # that a client may send nothing, or take nothing
    receive_seconds: float = 60.0  # that a request may take to arrive
    connections: int = 128
    kept_jobs: int = 64  # jobs that have ended, for who asks for their results
    kept_bytes: int = 256 << 20  # of their results
    kept_seconds: float = 300.0
    drain_seconds: float = 30.0  # for what is being completed when the server is told to end

    def __post_init__(self) -> None:
        for name in _ABOVE_NONE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"the limit {name} is {value!r}; expected a number above 0")
