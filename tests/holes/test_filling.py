"""Holes of a large picture are filled where they are."""

import numpy as np
import pytest

from edgefill.holes import filling
from edgefill.holes.filling import Hole, parts_of


def scattered(count: int, size: tuple[int, int]) -> np.ndarray:
    """``known [H, W]`` with so many small holes missing along the picture's diagonal."""
    known = np.ones(size, bool)
    for number in range(count):
        row, column = (side * number // count + 5 for side in size)
        known[row : row + 40, column : column + 30] = False
    return known


def test_ten_small_holes_in_a_large_picture_are_all_that_is_looked_at():
    """They used to be looked at with all that lies between them, twelve million pixels in three bands."""
    known = scattered(10, (3000, 4000))
    parts = parts_of(known)
    assert len(parts) == 10
    assert sum(known[part].size for part in parts) <= 1.2 * (~known).sum()


@pytest.mark.parametrize("blend", ["poisson", "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_holes_apart_are_filled_as_each_alone(blend, channels):
    rng = np.random.default_rng(0)
    known = scattered(4, (400, 600))
    values = rng.integers(0, 256, (400, 600, 3), dtype=np.uint8)
    drawn = rng.uniform(-1, 1, (400, 600, channels)).astype(np.float32)
    colours = rng.uniform(-0.2, 0.2, (400, 600, 2)).astype(np.float32) if channels == 1 else None
    filled = dict_of(Hole(drawn, values, known, colours, blend))
    assert len(filled) == 4
    for part, own in filled.items():
        box = tuple(slice(*each) for each in part)
        alone = np.ones_like(known)
        alone[box] = known[box]
        expected = dict_of(Hole(drawn, values, alone, colours, blend))[part]
        assert np.abs(own - expected).max() < 0.2 / 255


def dict_of(hole: Hole) -> dict:
    return {tuple((run.start, run.stop) for run in part): values for part, values in hole.filled()}


def test_a_picture_that_is_not_cut_is_never_made_smaller(monkeypatch):
    """The coarse picture is for the lines where bands are cut off; it took seconds for ten small holes."""
    monkeypatch.setattr(filling, "scale_known", lambda *_: pytest.fail("nothing is cut off here"))
    monkeypatch.setattr(filling, "AT_ONCE", 2000)
    known = scattered(10, (3000, 4000))
    hole = Hole(
        np.zeros((3000, 4000, 1), np.float32), np.zeros((3000, 4000, 1), np.uint8), known, None, "poisson"
    )
    assert len(list(hole.filled())) == 10
