"""What a scheduler has to do, and what it has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Load:
    """What a scheduler has to do, and what it has done since it is there."""

    waiting: int  # jobs that have no place yet
    running: int  # jobs that have
    steps: int  # that batches took, or passes
    rows_used: int  # of those steps, with something to do
    rows_there: int  # of those steps: places
    seconds: dict[str, float]  # by phase: read, prepare, search, finish
    finished: dict[str, int]  # jobs by what ended them: Result.ended, "failed" or "cancelled"


@dataclass
class Books:
    """What is counted of jobs. One thread at a time uses it."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "prepare", "search", "finish"), 0.0)
    )
    finished: Counter[str] = field(default_factory=Counter)

    def spend(self, **seconds: float) -> None:
        """Adds ``seconds`` by phase."""
        for phase, spent in seconds.items():
            self.seconds[phase] += spent
