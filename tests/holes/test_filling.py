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


def test_what_is_deep_in_the_hole_of_a_large_picture_is_not_solved_for(monkeypatch):
    """All of it took a minute of a photograph of 40 megapixels."""
    y, x = np.mgrid[:420, :480].astype(np.float32)
    edge = np.dstack([np.sin(x / 50), np.cos(y / 40), np.sin((x + y) / 90)]) * 100 + 127
    known = np.ones((420, 480), bool)
    known[40:380, 50:440] = False
    drawn = np.sin(x / 30)[:, :, None] * np.cos(y / 35)[:, :, None] / 2
    hole = Hole(drawn, edge.astype(np.uint8), known, None, "poisson")
    ((part, whole),) = hole.filled()
    solved: list[int] = []
    blend = filling.poisson_blend

    def counted(source, target, known):
        solved.append(int((~known).sum()))
        return blend(source, target, known)

    monkeypatch.setattr(filling, "poisson_blend", counted)
    monkeypatch.setattr(filling, "AT_ONCE", 190 * 1000)  # the part is below it, the picture above
    ((_, near),) = hole.filled()
    missing = ~known[part]
    assert len(solved) == 4 and max(solved) < 0.7 * missing.sum(), "the small picture, then the edge"
    assert np.abs(near - whole)[missing].max() < 1.5 / 127.5


def test_a_picture_that_is_not_cut_is_never_made_smaller(monkeypatch):
    """The coarse picture is for the lines where bands are cut off; it took seconds for ten small holes."""
    monkeypatch.setattr(filling, "scale_known", lambda *_: pytest.fail("nothing is cut off here"))
    monkeypatch.setattr(filling, "AT_ONCE", 2000)
    known = scattered(10, (3000, 4000))
    hole = Hole(
        np.zeros((3000, 4000, 1), np.float32), np.zeros((3000, 4000, 1), np.uint8), known, None, "poisson"
    )
    assert len(list(hole.filled())) == 10
