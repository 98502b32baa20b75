"""How often something is timed, and what is said of its times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """How long to measure: an uncounted warm-up, then until both the time and the count are reached.

    Where the count takes longer than ``longest`` seconds, it is left at what was measured by then.
    """

    warm_up: float = 0.2  # seconds
    seconds: float = 3.0
    iterations: int = 200
    longest: float | None = None


@dataclass(frozen=True)
class Spread:
    """Median and tail of some samples, in their unit; a percentile is its nearest rank."""

    median: float
    p90: float
    p99: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of one sample or more."""
        ordered = sorted(samples)
        return cls(statistics.median(ordered), _rank(ordered, 90), _rank(ordered, 99), len(ordered))


def repeated(
    call: Callable[[], T],
    rule: Rule,
    *,
    progress: Callable[[float], None] = lambda share: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[T]:
    """What ``call`` returns each time that counts; ``progress`` is told which share is done."""
    begin = clock()
    while clock() - begin < rule.warm_up:
        call()
    results: list[T] = []
    begin = clock()
    while True:
        results.append(call())
        spent = clock() - begin
        counted = max(len(results) / rule.iterations, spent / rule.longest if rule.longest else 0.0)
        progress(min(1.0, counted, spent / rule.seconds if rule.seconds else 1.0))
        if counted >= 1 and spent >= rule.seconds:
            return results


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[-(-percent * len(ordered) // 100) - 1]
