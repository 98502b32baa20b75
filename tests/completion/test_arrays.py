from __future__ import annotations

import numpy as np
import pytest

from edgefill.completion import Completer, SearchSettings
from edgefill.errors import InputError, ModelError
from edgefill.pictures.images import planes
from tests.completion.fakes import FakeRuntime, fake_model, fake_runtime

MODEL = fake_model(channels=3)


def faces(rows: int) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 3), np.uint8)
    known = np.ones((rows, 8, 8), bool)
    known[:, 2:6, 2:6] = False
    return pictures, known


@pytest.fixture
def completer():
    return Completer(MODEL, fake_runtime(MODEL))


def test_known_pixels_stay_bit_for_bit_and_the_hole_is_drawn(completer):
    pictures, known = faces(5)
    filled = completer.fill(pictures, known)
    assert filled.dtype == np.uint8 and filled.shape == pictures.shape
    np.testing.assert_array_equal(filled[known], pictures[known])
    assert (filled[~known] != pictures[~known]).mean() > 0.9


def test_a_picture_is_filled_as_complete_fills_it_without_blending(completer):
    pictures, known = faces(2)
    settings = SearchSettings(steps=20)
    filled = completer.fill(pictures, known, seeds=[0, 7], settings=settings)
    for seed, picture, result in zip([0, 7], pictures, filled, strict=True):
        alone = completer.complete(picture, "center", seed=seed, settings=settings, blend="none")
        np.testing.assert_array_equal(np.asarray(alone.image), result)


def test_importance_reaches_the_search(completer):
    pictures, known = faces(1)
    plain, weighted = (
        completer.fill(pictures, known, settings=SearchSettings(steps=5, importance=window))
        for window in (0, 3)
    )
    np.testing.assert_array_equal(plain, weighted)  # the fake's known pixels do not move its hole
    tasks = []
    runtime = fake_runtime(MODEL)
    spy = FakeRuntime(lambda z, task: tasks.append(task) or runtime.step(z, task), runtime.generate)
    Completer(MODEL, spy).fill(pictures, known, settings=SearchSettings(steps=1, importance=3))
    assert tasks[0].weight[0, 0, 0, 0] == 0 < tasks[0].weight[0, 0, 1, 3]


def test_what_has_another_shape_or_type_is_refused_with_what_is_expected(completer):
    pictures, known = faces(2)
    for wrong in (pictures[:, :7], pictures.astype(np.float32), pictures[:0]):
        with pytest.raises(InputError, match=r"the model fake takes uint8 \[N, 8, 8, 3\]"):
            completer.fill(wrong, known)
    for wrong in (known[:1], known.astype(np.uint8)):
        with pytest.raises(InputError, match=r"expected bool \[2, 8, 8\]"):
            completer.fill(pictures, wrong)
    with pytest.raises(InputError, match="got 1 seeds for 2 pictures"):
        completer.fill(pictures, known, seeds=[1])


def test_a_search_that_fails_names_the_picture_and_the_step(completer):
    runtime = fake_runtime(MODEL)
    second = planes(faces(2)[0])[1]

    def broken(z, task):
        found = runtime.step(z, task)
        found.loss[(task.target == second).all((1, 2, 3))] = np.nan
        return found

    with pytest.raises(ModelError, match="the search for picture 1 stopped at step 1"):
        Completer(MODEL, FakeRuntime(broken, runtime.generate)).fill(*faces(2))
