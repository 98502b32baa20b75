"""How long jobs take, by those that were there: whether one more could keep its deadline."""

from __future__ import annotations

from dataclasses import dataclass, field

_NEW = 0.1  # share of the last job in the means


@dataclass
class Pace:
    """What a scheduler knows of its own speed. One thread at a time uses it."""

    stay: float = 0.0  # seconds from a job's place to its result, mean; 0 before the first
    _beside: float = 1.0  # jobs that had a place meanwhile, mean
    _finishing: dict[int, float] = field(default_factory=dict)  # seconds by the power of two of the pixels

    def wait(self, ahead: int) -> float:
        """Seconds until a job that ``ahead`` others wait before has its place; 0 where nothing is known.

        Of n places, each taken for so long, one becomes free n times as often (Little's law).
        """
        return (ahead + 1) * self.stay / self._beside

    def ended(self, stayed: float, beside: int) -> None:
        """A job has ended ``stayed`` seconds after it got its place; ``beside`` had one, with it."""
        share = _NEW if self.stay else 1.0
        self.stay += share * (stayed - self.stay)
        self._beside += share * (max(1, beside) - self._beside)

    def forget(self) -> None:
        """Nothing is under way: what comes may be of another kind."""
        self.stay, self._beside = 0.0, 1.0

    def finished(self, pixels: int, seconds: float) -> None:
        """A picture of ``pixels`` was finished in ``seconds``."""
        size = pixels.bit_length()
        self._finishing[size] = (self._finishing.get(size, seconds) + seconds) / 2

    def finishing(self, pixels: int) -> float:
        """Seconds that finishing a picture of ``pixels`` is likely to take, by the nearest in size."""
        if not self._finishing:
            return 0.0
        size = pixels.bit_length()
        nearest = min(self._finishing, key=lambda each: abs(each - size))
        return self._finishing[nearest] * 2.0 ** (size - nearest)
