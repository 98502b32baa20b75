"""Where the parts of a hole are: as SciPy says, in work that grows with the hole alone."""

import math

import numpy as np
import pytest
from scipy import ndimage

from edgefill.holes import islands as rooms
from edgefill.holes.islands import components, depth, islands

RNG = np.random.default_rng(0)
SIZES = [(1, 1), (1, 50), (50, 1), (2, 3), (40, 61), (200, 130)]


def spiral(side: int) -> np.ndarray:
    """One line from the border inwards, a pixel wide, that never touches itself."""
    hole, low, high = np.zeros((side, side), bool), 0, side - 1
    while low < high:
        hole[low, max(low - 2, 0) : high + 1] = True
        hole[low : high + 1, high] = True
        hole[high, low : high + 1] = True
        hole[low + 2 : high + 1, low] = True
        low, high = low + 2, high - 2
    return hole


def masks() -> dict[str, np.ndarray]:
    rows, columns = np.indices((90, 120))
    noise = {
        f"{share} of {size}": RNG.random(size) < share
        for size in SIZES
        for share in (0, 0.02, 0.2, 0.4, 0.6, 1)
    }
    return noise | {
        "a comb": (columns % 2 == 0) | (rows == 89),
        "a comb upside down": (columns % 2 == 0) | (rows == 0),
        "zigzags": (rows + abs(columns % 40 - 20)) % 9 == 0,
        "checkerboard": (rows + columns) % 2 == 0,
        "rings": (abs(rows - 45) + abs(columns - 60)) % 6 < 2,
        "a spiral": spiral(61),
    }


MASKS = masks()


def ends(boxes) -> list[tuple[int, ...]]:
    return sorted((rows.start, rows.stop, columns.start, columns.stop) for rows, columns in boxes)


@pytest.mark.parametrize("mask", MASKS)
def test_components_are_those_that_scipy_finds(mask):
    labels, _ = ndimage.label(MASKS[mask], structure=np.ones((3, 3)))
    assert ends(components(MASKS[mask])) == ends(ndimage.find_objects(labels))


def test_components_come_row_by_row_and_the_mask_stays_as_it_was():
    hole = np.zeros((9, 9), bool)
    hole[5, 1], hole[2, 6], hole[2, 3] = True, True, True
    before = hole.copy()
    assert [(rows.start, columns.start) for rows, columns in components(hole)] == [(2, 3), (2, 6), (5, 1)]
    assert np.array_equal(hole, before)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.35, 0.41, 0.6])
def test_noise_is_joined_in_a_few_rounds(share, monkeypatch):
    """Each round halves what is left at least; one pass over all runs is left for the end."""
    rounds = []
    point_to_roots = rooms._point_to_roots
    monkeypatch.setattr(rooms, "_point_to_roots", lambda *a: (rounds.append(a), point_to_roots(*a)))
    hole = np.random.default_rng(1).random((700, 900)) < share
    components(hole)
    assert 2 <= len(rounds) <= math.log2(np.diff(hole).sum()) + 1


@pytest.mark.parametrize("leaves_first", [True, False])
def test_a_star_is_joined_in_a_few_rounds_whichever_way_it_is_numbered(leaves_first, monkeypatch):
    """Hung under one neighbour by its number alone, its centre would take the leaves one by one."""
    rounds = []
    point_to_roots = rooms._point_to_roots
    monkeypatch.setattr(rooms, "_point_to_roots", lambda *a: (rounds.append(a), point_to_roots(*a)))
    centre, leaves = (999, np.arange(999)) if leaves_first else (0, np.arange(1, 1000))
    assert len(set(rooms._joined(1000, np.full(999, centre), leaves).tolist())) == 1
    assert len(rounds) <= 4


@pytest.mark.parametrize("mask", MASKS)
def test_islands_hold_every_missing_pixel_once_with_the_known_ones_around(mask):
    hole = MASKS[mask]
    covered = np.zeros(hole.shape, int)
    for (rows, columns), part in islands(hole):
        covered[rows, columns] += 1
        assert np.array_equal(part, hole[rows, columns]) and part.any()
        assert rows.stop <= hole.shape[0] and columns.stop <= hole.shape[1]
        assert not part[0].any() or rows.start == 0
        assert not part[-1].any() or rows.stop == hole.shape[0]
        assert not part[:, 0].any() or columns.start == 0
        assert not part[:, -1].any() or columns.stop == hole.shape[1]
    assert (covered[hole] == 1).all() and covered.max(initial=0) <= 1


def test_near_holes_share_an_island_and_far_ones_do_not():
    hole = np.zeros((1000, 1000), bool)
    hole[10:20, 10:20] = True
    hole[22:25, 30] = True
    hole[700:704, 800:810] = True
    boxes = [box for box, _ in islands(hole)]
    assert boxes == [(slice(9, 26), slice(9, 32)), (slice(699, 705), slice(799, 811))]


def test_islands_whose_boxes_would_cross_are_one():
    hole = np.zeros((1000, 1000), bool)
    hole[100, 100:900] = True
    hole[100:900, 100] = True
    hole[500:510, 500:510] = True
    assert [box for box, _ in islands(hole)] == [(slice(99, 901), slice(99, 901))]


@pytest.mark.parametrize("share", [1e-5, 1e-4, 1e-3, 0.01, 0.2, 0.9])
def test_there_are_never_more_than_a_thousand_islands(share):
    assert 1 <= len(list(islands(RNG.random((1500, 2000)) < share))) <= 1024


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_islands_far_apart_are_no_larger_than_their_holes(count):
    """Nine such specks used to have one box around them all."""
    hole = np.zeros((4096, 4096), bool)
    for number in range(count):
        row, column = 400 * (number // 10) + 30, 400 * (number % 10) + 60
        hole[row : row + 20, column : column + 30] = True
    parts = [part for _, part in islands(hole)]
    assert len(parts) == count
    assert sum(part.size for part in parts) <= 1.2 * hole.sum()


@pytest.mark.parametrize("mask", MASKS)
def test_depth_is_the_longest_way_to_a_known_pixel(mask):
    hole = MASKS[mask]
    if hole.all():
        assert depth(hole) == sum(hole.shape)
    else:
        assert depth(hole) == ndimage.distance_transform_cdt(hole, "taxicab").max()


def test_the_border_of_the_picture_is_no_way_out_of_a_hole():
    hole = np.zeros((30, 40), bool)
    hole[:10] = True
    hole[12:17, 12:17] = True
    assert depth(hole) == 10
    assert depth(hole[11:]) == 3
