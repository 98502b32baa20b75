"""Where a face lies, and pictures of it in the model's frame and back: exact for what is linear."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.faces.eyes import Eyes
from edgefill.faces.pose import Pose
from edgefill.model.manifest import Alignment

ALIGNMENT = Alignment((0.25, 0.25, 0.75, 0.25))
CELLS = (16, 16)
# The distance of the eyes, 8 cells, in pixels: enlarged, turned, much larger, and smaller than the frame.
PAIRS = [Eyes(30, 30, 46, 30), Eyes(30, 30, 40, 40), Eyes(20, 60, 60, 30), Eyes(40, 40, 43, 39)]


def ramp(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return (0.006 * rows - 0.004 * columns)[..., None]


@pytest.mark.parametrize("eyes", PAIRS)
def test_eyes_come_to_where_the_model_expects_them(eyes):
    pose = Pose.of(eyes, ALIGNMENT, CELLS)
    rows, columns = pose.places(
        np.array([eyes.left_y, eyes.right_y]) + 0.5, np.array([eyes.left_x, eyes.right_x]) + 0.5
    )
    np.testing.assert_allclose([rows, columns], [[4, 4], [4, 12]], atol=1e-9)
    assert pose.scale == pytest.approx(eyes.distance / 8)
    smaller = pose.scaled(0.5)
    np.testing.assert_allclose(smaller.places(np.array([10.0]), np.array([7.0])),
                               pose.places(np.array([20.0]), np.array([14.0])))  # fmt: skip


@pytest.mark.parametrize("eyes", PAIRS)
def test_a_slope_stays_the_same_slope_in_the_frame_and_back(eyes):
    pose = Pose.of(eyes, ALIGNMENT, CELLS)
    rows, columns = np.mgrid[:96, :96]
    picture = np.rint((ramp(rows, columns) + 1) * 32767.5).astype(np.uint16)
    seen, share = pose.seen(picture, np.ones((96, 96), bool))
    whole = share > 0.9999
    inside = np.argwhere(whole)
    row, column = (inside + 0.5).T
    y = pose.y + column * pose.across + row * pose.along - 0.5
    x = pose.x + column * pose.along - row * pose.across - 0.5
    np.testing.assert_allclose(seen[0][whole], ramp(y, x)[:, 0], atol=1e-4)
    assert whole.sum() > 100
    middle = pose.away(rows, columns) < 0.7
    frame_rows, frame_columns = np.mgrid[:16, :16] + 0.5
    drawn = pose.drawn(ramp(frame_rows, frame_columns).transpose(2, 0, 1), *np.nonzero(middle))
    expected = ramp(*pose.places(rows[middle] + 0.5, columns[middle] + 0.5))
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_what_is_missing_or_beyond_the_picture_is_not_seen():
    pose = Pose.of(Eyes(4, 8, 36, 8), ALIGNMENT, CELLS)  # its frame begins 12 pixels left of the picture
    rng = np.random.default_rng(0)
    picture, other = rng.integers(0, 256, (2, 48, 48, 3), np.uint8)
    known = rng.random((48, 48)) > 0.3
    first, second = (pose.seen(np.where(known[:, :, None], picture, under), known) for under in (0, other))
    np.testing.assert_array_equal(first[0], second[0])
    assert (first[1][:, :2] == 0).all() and 0.5 < first[1][4:12, 6:].mean() < 0.9


def test_an_alignment_is_two_shares_of_a_picture():
    from edgefill.errors import ModelError

    for eyes in ((0.7, 0.2, 0.3, 0.2), (0.2, 0.2, 1.3, 0.2)):
        with pytest.raises(ModelError, match="expected x, y, x, y from 0 to 1"):
            Alignment(eyes)
