from __future__ import annotations

import numpy as np

from edgefill.methods.latent.latents import Prior

PRIOR = Prior("uniform", 6)


def test_a_walk_begins_and_ends_at_its_seeds_and_passes_the_ones_between():
    walk = PRIOR.walk([7, 42, 9], 5)
    np.testing.assert_array_equal(walk[[0, 2, 4]], PRIOR.latents([7, 42, 9]))
    np.testing.assert_allclose(walk[1], PRIOR.latents([7, 42]).mean(axis=0), atol=1e-7)
    assert walk.dtype == np.float32


def test_a_sum_of_latents_is_clipped_to_the_range_of_the_prior():
    three, five, nine = PRIOR.latents([3, 5, 9])
    total = PRIOR.total([(1, 3), (-1, 5), (1, 9)])
    np.testing.assert_allclose(total, np.clip(three - five + nine, -1, 1), atol=1e-6)
    assert np.abs(three - five + nine).max() > 1, "the test should see clipping"
