"""What is known of pictures: how it weighs, and what an encoder is shown of it."""

import numpy as np
import pytest

from edgefill.pictures.evidence import Evidence


def some(rows=3, channels=3, size=8, block=4, seed=0):
    random = np.random.default_rng(seed)
    target = random.random((rows, channels, size, size), np.float32)
    weight = (random.random((rows, 1, size, size)) < 0.7).astype(np.float32)
    return Evidence(target, weight, np.zeros((rows, 1, size // block, size // block), np.float32))


def test_a_pixel_weighs_the_missing_share_of_the_window_around_it():
    evidence = some(rows=2, size=12)
    weight, found = evidence.weight[:, 0], evidence.weighed(5).weight[:, 0]
    for picture, row, column in np.ndindex(weight.shape):
        window = weight[picture, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        expected = weight[picture, row, column] * (1 - window).mean()
        assert found[picture, row, column] == pytest.approx(expected, abs=1e-6)
    assert evidence.weighed(0) is evidence


def test_what_is_seen_is_what_is_known_and_nothing_else():
    evidence = some()
    evidence.weight[2] = 0
    evidence.block_weight[2, 0, 0, 0] = 1
    changed = np.where(evidence.weight > 0, evidence.target, np.float32(9))
    changed[2] = evidence.target[2]
    picture, known = evidence.seen()
    np.testing.assert_array_equal(evidence._replace(target=changed).seen()[0], picture)
    np.testing.assert_array_equal(picture[:2], (evidence.target * evidence.weight)[:2])
    np.testing.assert_array_equal(known[:2], evidence.weight[:2])
    assert picture.dtype == known.dtype == np.float32


def test_the_mean_of_a_block_is_as_much_as_one_number_is_of_its_pixels():
    evidence = some()
    evidence.weight[:] = 0
    evidence.block_weight[:, 0, 0, 0] = 1
    picture, known = evidence.seen()
    assert (known[:, 0, :4, :4] == np.float32(1 / 16)).all() and known.sum() == 3
    np.testing.assert_array_equal(picture[:, :, :4, :4], evidence.target[:, :, :4, :4])
    assert (picture[:, :, 4:] == 0).all()


def test_stacked_evidence_has_the_rows_of_all():
    parts = [some(rows=1), some(rows=2, seed=1)]
    together = Evidence.stacked(parts)
    assert together.target.shape == (3, 3, 8, 8)
    np.testing.assert_array_equal(together.weight[1:], parts[1].weight)


def test_the_distance_is_the_mean_over_what_is_missing():
    evidence = some(rows=5, channels=1, size=16, block=8)
    evidence.weight[:] = 1
    evidence.weight[0, 0, 4:12, 4:12] = 0  # 8×8: rings of 28, 20, 12 and 4 pixels
    evidence.weight[1, 0, :, :8] = 0
    evidence.weight[2] = 0
    evidence.weight[3], evidence.block_weight[3] = 0, 1
    ring = (28 + 2 * 20 + 3 * 12 + 4 * 4) / 64
    np.testing.assert_allclose(evidence.distance(), [ring, 4.5, 16, 4, 0])


def test_the_distance_is_what_a_search_for_the_nearest_known_pixel_finds():
    evidence = some(rows=4, size=12)
    for picture, found in zip(evidence.weight[:, 0], evidence.distance(), strict=True):
        known = np.argwhere(picture > 0)
        steps = [np.abs(known - place).sum(1).min() for place in np.argwhere(picture == 0)]
        assert found == pytest.approx(np.mean(steps))
