"""Contenders that take turns within one process, so that a noisy machine is as noisy for all of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], np.ndarray]
_SECONDS_A_TURN = 0.25
_REST = 0.25  # seconds before a turn: until then threads of the contender before may wait actively


def measured(contenders: dict[str, Call], rounds: int, *, rest: float = _REST) -> dict[str, Any]:
    """Of each contender the median and the fastest turn in ms, and the median of its ratio to the first.

    A turn is some calls, as many as fill a quarter of a second, after one that does not count.
    """
    calls = {name: _calls_a_turn(call) for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            time.sleep(rest)
            call()
            begin = time.perf_counter()
            for _ in range(calls[name]):
                call()
            seconds[name].append((time.perf_counter() - begin) / calls[name])
    ours = next(iter(contenders))
    return {
        name: {
            "ms": round(1e3 * statistics.median(times), 3),
            "ms_min": round(1e3 * min(times), 3),
            "times_ours": round(
                statistics.median(b / a for a, b in zip(seconds[ours], times, strict=True)), 3
            ),
        }
        for name, times in seconds.items()
    }


def check_agreement(contenders: dict[str, Call], tolerance: float) -> None:
    """Everybody computes the same, or the comparison means nothing: relative, in norm. Also a warm-up."""
    results = {name: np.array(call()) for name, call in contenders.items()}
    expected = list(results.values())[-1]
    for name, result in results.items():
        error = np.linalg.norm(result - expected) / np.linalg.norm(expected)
        if not error < tolerance:
            raise SystemExit(f"{name} computes something else: it is off by {error:.2g}")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _calls_a_turn(call: Call) -> int:
    call()
    begin = time.perf_counter()
    call()
    return max(1, round(_SECONDS_A_TURN / (time.perf_counter() - begin)))
