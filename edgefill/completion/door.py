"""Which jobs are taken: not too many, and none that would not be done before its deadline."""

from __future__ import annotations

from edgefill.completion.line import Line
from edgefill.completion.pace import Pace
from edgefill.errors import Busy

_SPARE = 1.5  # times what is expected: under load the slowest of a hundred took 1.24 times the median


class Door:
    """Lets jobs into the ``line`` of the model ``name``, ``most`` of them, or any number where that is None.

    One thread at a time uses it.
    """

    def __init__(self, name: str, most: int | None, line: Line, pace: Pace) -> None:
        self._name, self._most, self._line, self._pace = name, most, line, pace
        self.is_closed = False

    def check(self, urgency: int, left: float) -> None:
        """Raises Busy where a job of that ``urgency`` (the least is first) and ``left`` seconds has to go."""
        if self.is_closed:
            raise Busy(f"the scheduler of {self._name} takes no more jobs: it is closing")
        if self._most is None:
            return
        waiting, ahead = len(self._line), self._line.ahead_of(urgency)
        wait, stay = self._pace.wait(ahead), self._pace.stay
        if waiting >= self._most:
            expected = f"expected fewer than {self._most}"
            raise Busy(f"{waiting} jobs wait for {self._name}, {expected}; try later", wait)
        if ahead and _SPARE * (wait + stay) > left:
            needs = f"about {wait + stay:.2g} seconds until this one is done, which has {left:.2g}"
            raise Busy(f"{ahead} jobs wait for {self._name}, and it is {needs}; try later", wait)
