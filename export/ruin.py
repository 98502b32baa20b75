"""How much worse a network completes pictures in a coarser precision, by what is truly in their holes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgefill.errors import ModelError
from edgefill.export.calibration import Case

LOSS = 0.5  # dB of what is drawn in the holes that may be lost
ROUGHNESS = (0.8, 1.15)  # how rough it may be, of how rough it is in fp32
_UNSEEN = 2 / 127.5  # on [-1, 1]: errors and differences of two grey levels count for nothing


@dataclass(frozen=True)
class Ruin:
    """What is drawn in the holes of some cases, beside what is drawn there in fp32."""

    loss: float  # dB, by the mean square error against what is truly there
    noise: float  # root mean square of the difference, on [-1, 1]
    roughness: float  # mean difference of neighbours, of that in fp32

    @property
    def is_one(self) -> bool:
        """Whether that is another quality of picture."""
        return not (self.loss <= LOSS and ROUGHNESS[0] <= self.roughness <= ROUGHNESS[1])

    def check(self, name: str, precision: str) -> None:
        """Raises ModelError where it is one."""
        if self.is_one:
            raise ModelError(
                f"in {precision} {name} draws worse: {self.loss:.2f} dB are lost in the holes of the "
                f"calibration pictures, and they are {self.roughness:.2f} times as rough as in fp32; "
                f"expected at most {LOSS} dB and {ROUGHNESS[0]} to {ROUGHNESS[1]} times; nothing was "
                "written; take --precision fp32 or fp16"
            )

    @property
    def proof(self) -> dict[str, float]:
        """For a manifest."""
        return {key: float(f"{getattr(self, key):.3g}") for key in ("noise", "loss", "roughness")}


def ruin_of(drawn: Iterable[np.ndarray], exact: Sequence[np.ndarray], cases: Sequence[Case]) -> Ruin:
    """Of what is ``drawn`` of each of ``cases``, [1, C, h, w] in [-1, 1], beside what is drawn ``exact``."""
    sums = np.zeros(5)
    for own, whole, case in zip(drawn, exact, cases, strict=True):
        there = case.hole
        squares = (own - whole, own - case.picture, whole - case.picture)
        sums[:3] += [float(np.square(each[0][:, there]).sum()) for each in squares]
        sums[3] += _roughness(own, there)
        sums[4] += _roughness(whole, there)
    count = max(sum(int(case.hole.sum()) * case.picture.shape[1] for case in cases), 1)
    noise, error, least = sums[:3] / count
    loss = 10 * math.log10((error + _UNSEEN**2) / (least + _UNSEEN**2)) if math.isfinite(error) else math.inf
    floor = _UNSEEN * count
    return Ruin(loss, math.sqrt(noise), float((sums[3] + floor) / (sums[4] + floor)))


def _roughness(drawn: np.ndarray, there: np.ndarray) -> float:
    """The sum over what is ``there`` of how much neighbours in a row differ."""
    inside = there[:, 1:] & there[:, :-1]
    return float(np.abs(np.diff(drawn[0], axis=2))[:, inside].sum())
