"""What numbers may be asked for: one table, from which options, requests and recipes take their limits."""

from __future__ import annotations

from typing import NamedTuple

from edgefill.errors import InputError

_DIGITS = 19  # of the largest whole number that anything takes
_SHOWN = 40  # characters of a value in a message


class Limits(NamedTuple):
    """From ``least`` to ``most``; the latter is left out where it is ``open``, the former where it is 0."""

    least: float
    most: float
    open: bool = False

    def hold(self, value: float) -> bool:
        """Whether ``value`` lies between them; NaN does not."""
        return self.least <= value < self.most if self.open else self.least <= value <= self.most

    def __str__(self) -> str:
        least, most = (f"{each:,}" if isinstance(each, int) else f"{each:g}" for each in self[:2])
        return f"{least} to {'below ' * self.open}{most}"


_SHARE, _DECAY, _WEIGHT = Limits(0, 1), Limits(0, 1, open=True), Limits(0, 1e6)
LIMITS = {
    # Of a command.
    "seed": Limits(0, 2**63 - 1),
    "threads": Limits(1, 1024),
    "batch": Limits(1, 65_536),
    "shards": Limits(1, 1_000_000),
    "candidates": Limits(1, 16),
    "frames": Limits(0, 4096),
    "quality": Limits(1, 100),
    "sm": Limits(50, 999),
    "seconds": Limits(0.001, 3600),
    "iterations": Limits(1, 1_000_000),
    # Of a search.
    "search_steps": Limits(1, 1_000_000),
    "starts": Limits(1, 4096),
    "lr": Limits(1e-12, 1e6),
    "weight": _WEIGHT,
    "decay": _DECAY,
    "window": Limits(0, 65_535),
    "milliseconds": Limits(1e-9, 1e9),
    "goal": Limits(-1e30, 1e30),
    # Of a training.
    "epochs": Limits(1, 1_000_000),
    "steps": Limits(1, 10**9),
    "phase": Limits(0, 10**9),
    "width": Limits(1, 4096),
    "updates": Limits(1, 1000),
    "share": _SHARE,
}


def check(name: str, value: float, limits: str = "") -> None:
    """Raises InputError where ``value`` lies beyond the LIMITS of ``limits``, or of ``name`` itself."""
    allowed = LIMITS[limits or name]
    if not allowed.hold(value):
        raise InputError(f"{name} cannot be {shown(value)}; expected {allowed}")


def whole_number(text: str) -> int | None:
    """The number that ``text`` writes in digits; None for anything else."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def shown(value: object) -> str:
    """``value`` for a message, shortened."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # Python writes no more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
