"""The names of the solvers, without loading one: each that ships is a file and its kernel in ``solvers/``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_SOLVERS = Path(__file__).with_name("solvers")


def shipped_solvers() -> list[str]:
    """The names of those that ship."""
    return sorted(path.stem for path in _SOLVERS.glob("*.cu"))


def in_words(names: Iterable[str]) -> str:
    """``names``, one or more, for people: a, b or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
