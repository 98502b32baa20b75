"""What a coarser precision may take from a network's pictures, and what is too much."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.errors import ModelError
from edgefill.export.calibration import Case
from edgefill.export.ruin import ruin_of

SIDE = 64


def case() -> Case:
    rng = np.random.default_rng(0)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[16:48, 8:56] = True
    picture = np.float32(0.5 * np.sin(np.arange(SIDE) / 2) + 0.2 * rng.standard_normal((1, 3, SIDE, SIDE)))
    return Case(picture, np.float32(~hole)[None, None], hole)


def drawn(noise: float, seed: int) -> np.ndarray:
    return case().picture + np.random.default_rng(seed).normal(0, noise, case().picture.shape)


def test_rounding_is_none():
    exact = drawn(0.2, 1)
    found = ruin_of([exact + drawn(0.01, 2) - case().picture], [exact], [case()])
    assert not found.is_one and 0.009 < found.noise < 0.011 and abs(found.loss) < 0.1
    assert found.proof.keys() == {"noise", "loss", "roughness"}
    found.check("it", "int8")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (drawn(0.3, 2), r"\d\.\d\d dB are lost"),  # farther from what is truly there
        (np.zeros_like(case().picture), r"0\.\d\d times as rough"),  # grey
        (case().picture * 1.6, r"1\.\d\d times as rough"),
        (np.full_like(case().picture, np.nan), "inf dB are lost"),
    ],
)
def test_another_quality_of_picture_is_one_and_is_refused_with_how_much(own, said):
    exact = drawn(0.2, 1)
    found = ruin_of([own], [exact], [case()])
    assert found.is_one
    with pytest.raises(ModelError, match=f"in int8 it draws worse: .*{said}.*take --precision fp32 or fp16"):
        found.check("it", "int8")


def test_only_holes_count():
    exact, own = drawn(0.2, 1), drawn(0.2, 1)
    own[..., ~case().hole] = 9
    found = ruin_of([own], [exact], [case()])
    assert (found.noise, found.loss, found.roughness) == (0, 0, 1)
