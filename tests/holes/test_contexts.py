"""Contexts: every hole is drawn, at the picture's own resolution where it fits, in few frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgefill.holes.contexts import Context, contexts, weight, whole

CELLS = (64, 64)


def with_holes(size: tuple[int, int], *holes: tuple[slice, slice]) -> np.ndarray:
    known = np.ones(size, bool)
    for hole in holes:
        known[hole] = False
    return known


def hole(top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
    return slice(top, top + height), slice(left, left + width)


def scale(context: Context) -> float:
    return context.frame.height / CELLS[0]


def covers(found: list[Context], known: np.ndarray) -> bool:
    """Whether all that is missing lies in a core, and each core in its frame."""
    drawn = np.zeros_like(known)
    for frame, core in found:
        drawn[core] = True
        assert frame.top <= core[0].start and core[0].stop <= frame.top + frame.height
        assert frame.left <= core[1].start and core[1].stop <= frame.left + frame.width
    return bool(drawn[~known].all())


def test_a_small_hole_is_seen_at_the_pictures_resolution_in_its_middle():
    known = with_holes((300, 400), hole(100, 200, 20, 30))
    (found,) = contexts(known, CELLS)
    assert found.frame == (78, 183, 64, 64) and found.core == hole(100, 200, 20, 30)


def test_a_frame_moves_into_the_picture():
    (found,) = contexts(with_holes((300, 400), hole(0, 390, 10, 10)), CELLS)
    assert found.frame == (0, 336, 64, 64)


def test_near_holes_share_a_frame_and_far_ones_do_not():
    near = with_holes((1000, 1000), hole(100, 100, 5, 5), hole(120, 130, 5, 5))
    far = with_holes((1000, 1000), hole(100, 100, 5, 5), hole(800, 700, 5, 5))
    assert len(contexts(near, CELLS)) == 1 and len(contexts(far, CELLS)) == 2
    assert covers(contexts(near, CELLS), near) and covers(contexts(far, CELLS), far)


def test_a_hole_that_leaves_too_little_context_is_seen_smaller():
    known = with_holes((1000, 1000), hole(300, 300, 60, 60))
    (found,) = contexts(known, CELLS)
    assert scale(found) == pytest.approx(60 / 64 * 2, abs=0.02)


def test_a_deep_hole_is_seen_in_one_frame_however_large():
    known = with_holes((1000, 1000), hole(200, 300, 400, 380))
    (found,) = contexts(known, CELLS)
    assert scale(found) == pytest.approx(400 / 64 * 2, abs=0.02)


def test_a_long_thin_hole_is_parted_at_the_pictures_resolution():
    known = with_holes((1000, 1000), hole(500, 10, 4, 900))
    found = contexts(known, CELLS)
    assert len(found) > 10 and {scale(each) for each in found} == {1.0} and covers(found, known)
    share = np.zeros(known.shape)
    for each in found:
        share[each.core] += weight(each.core)
    assert (share[~known] > 0).all()


def test_parts_of_a_hole_overlap_and_see_what_is_around():
    known = with_holes((1000, 1000), hole(500, 10, 4, 900))
    cores = sorted((each.core[1] for each in contexts(known, CELLS)), key=lambda run: run.start)
    assert all(a.stop - b.start >= CELLS[1] // 8 for a, b in pairwise(cores))
    inner = [each for each in contexts(known, CELLS) if each.core[1].start > 100 and each.core[1].stop < 800]
    assert inner
    for frame, core in inner:
        assert core[1].start - frame.left >= CELLS[1] // 8
        assert frame.left + frame.width - core[1].stop >= CELLS[1] // 8


def test_a_network_that_sees_no_further_needs_no_more_context():
    known = with_holes((1000, 1000), hole(500, 10, 4, 900))
    assert len(contexts(known, CELLS, reach=1)) < len(contexts(known, CELLS))
    assert covers(contexts(known, CELLS, reach=0), known)


@pytest.mark.parametrize("size", [(40, 30), (8, 8), (64, 20)])
def test_a_picture_smaller_than_the_network_is_enlarged_a_little(size):
    known = with_holes(size, hole(2, 3, 4, 5))
    (found,) = contexts(known, CELLS)
    assert scale(found) == pytest.approx(max(0.8, max(size) / 64), abs=0.01)
    assert covers([found], known)


def test_no_frame_is_larger_than_the_picture_is_long():
    known = with_holes((100, 40), hole(10, 0, 80, 40))
    (found,) = contexts(known, CELLS)
    assert found.frame.width == found.frame.height == 100 and found.frame.left == -30


def test_the_whole_of_a_picture_fits_into_its_frame():
    found = whole((50, 200), CELLS)
    assert found.frame.width >= 200 and found.frame.height >= 50 and found.core == hole(0, 0, 50, 200)
    assert found.frame.top == -75


@pytest.mark.parametrize("cells", [(64, 64), (48, 96)])
@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (130, 170), (600, 500)])
def test_whatever_is_missing_is_drawn(size, share, cells):
    known = np.random.default_rng(0).random(size) >= share
    known[0, 0] = False
    assert covers(contexts(known, cells), known)


def test_what_is_thin_beside_a_deep_hole_is_seen_at_the_pictures_resolution():
    rows, columns = np.mgrid[:1000, :1000]
    known = (rows - 500) ** 2 + (columns - 300) ** 2 > 150**2
    known[498:502, 300:980] = False  # a scratch that runs into it
    known[200:204, 300:304] = False  # and a speck near it
    found = contexts(known, CELLS)
    assert covers(found, known)
    (deep,) = [each for each in found if scale(each) > 4]
    assert deep.core[1].stop < 600
    fine = [each for each in found if each is not deep]
    assert len(fine) > 3 and all(scale(each) == 1 for each in fine)
    drawn = np.zeros_like(known)
    for each in fine:
        drawn[each.core] = True
    assert drawn[500, 600:980].all()


def test_deep_parts_of_a_hole_keep_to_themselves():
    known = with_holes((1000, 1000), hole(100, 100, 80, 80), hole(100, 250, 80, 80), hole(420, 300, 90, 200))
    known[178:425, 138:142] = known[420:424, 138:310] = known[138:142, 170:260] = False  # all of them one
    found = contexts(known, CELLS)
    assert covers(found, known)
    deep = [each.core for each in found if scale(each) > 1]
    assert len(deep) >= 2
    drawn = np.zeros(known.shape, int)
    for core in deep:
        drawn[core] += 1
    assert drawn.max() == 1


def test_many_far_specks_take_few_frames():
    """A thousand specks on 16 megapixels: no more frames than the picture has room for."""
    known = np.ones((4096, 4096), bool)
    random = np.random.default_rng(0)
    known[random.integers(0, 4096, 1000), random.integers(0, 4096, 1000)] = False
    found = contexts(known, (512, 512))
    assert covers(found, known) and len(found) <= (4096 / 512 * 1.5) ** 2
