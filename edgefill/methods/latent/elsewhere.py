"""What a search moves, while it lies where the search runs: read when somebody asks, and parted unread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np

LARGE = ("z", "best_z", "own")
"""The fields of a state that may be elsewhere; "own" stands for all arrays of the solver."""


class Place(Protocol):
    """Where rows lie."""

    left: WeakSet[Elsewhere]  # what is still to be had; it is settled before the place is used for others

    def bring(self, field: str) -> Mapping[str, np.ndarray]:
        """The arrays of ``field``, one of LARGE, by name: of every row of the place."""


class Elsewhere:
    """Rows of ``place``: ``at`` [N] says which, -1 for those that came since, whose arrays are ``fresh``.

    ``place`` becomes None once everything was brought.
    """

    def __init__(self, place: Place, at: np.ndarray, fresh: Mapping[str, np.ndarray] | None = None) -> None:
        self.place: Place | None = place
        self.at, self.fresh = at, fresh or {}
        self.brought: dict[str, Any] = {}
        place.left.add(self)

    @property
    def came(self) -> np.ndarray:
        """True [N] for rows that came since."""
        came: np.ndarray = self.at < 0
        return came

    def read(self, field: str) -> Any:
        """The value of ``field``, one of LARGE."""
        if field not in self.brought:
            assert self.place is not None
            arrays = {name: self._own_rows(name, rows) for name, rows in self.place.bring(field).items()}
            self.brought[field] = arrays if field == "own" else arrays[field]
        return self.brought[field]

    def settle(self) -> None:
        """Reads what was not yet read: the place is used for others."""
        for field in LARGE:
            self.read(field)
        self.place = None

    def rows(self, chosen: np.ndarray) -> Elsewhere:
        """The rows that are true in ``chosen`` [N]; nothing is read."""
        assert self.place is not None
        came = chosen[self.came]
        return Elsewhere(self.place, self.at[chosen], {name: rows[came] for name, rows in self.fresh.items()})

    def with_rows(self, arrays: Mapping[str, np.ndarray]) -> Elsewhere:
        """With rows behind them, whose z, best_z and solver's arrays are ``arrays``; nothing is read."""
        assert self.place is not None
        at = np.concatenate([self.at, np.full(len(arrays["z"]), -1)])
        fresh = {
            name: np.concatenate([self.fresh[name], array]) if self.fresh else array
            for name, array in arrays.items()
        }
        return Elsewhere(self.place, at, fresh)

    def _own_rows(self, name: str, of_the_place: np.ndarray) -> np.ndarray:
        rows: np.ndarray = of_the_place[self.at]
        if self.fresh:
            rows[self.came] = self.fresh[name]
        return rows
