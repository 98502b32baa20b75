"""Holes as people paint them: every kind, none empty, none of more than half of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.training import painting
from edgefill.training.painting import painted_hole


@pytest.mark.parametrize("size", [64, 160])
def test_holes_are_neither_empty_nor_most_of_the_picture(size):
    rng = np.random.default_rng(0)
    shares = [painted_hole(size, rng).mean() for _ in range(200)]
    assert 0 < min(shares) < 0.05 and 0.3 < max(shares) <= 0.5


@pytest.mark.parametrize("kind", list(painting._KINDS))
def test_each_kind_is_drawn_anew_from_the_same_numbers(kind):
    draw = painting._KINDS[kind]
    one, same, other = (draw(96, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (96, 96) and one.dtype == bool and one.any()
    assert (one == same).all() and (one != other).any()


def test_every_kind_has_a_share():
    assert painting._SHARES.keys() == painting._KINDS.keys()
