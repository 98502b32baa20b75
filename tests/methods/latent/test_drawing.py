"""A picture that holds what is no number is never shown as a black one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.completion import Completer, Failure, Request, Result, SearchSettings
from edgefill.errors import ModelError
from edgefill.methods.latent.drawing import drawn
from tests.completion.fakes import FakeRuntime, fake_model, fake_runtime

MODEL = fake_model()
HEALTHY = fake_runtime(MODEL)
SETTINGS = SearchSettings("adam", steps=30, lr=0.1)
REQUEST = Request(settings=SETTINGS, mask="left")
SAID = r"the model fake has drawn NaN or Inf for {} by its graph generator; .* fp32"


def breaking(value: float, broken) -> FakeRuntime:
    """The step works, and G has one ``value`` that is no number where ``broken`` says so of its z [N, Z]."""

    def generate(z):
        pictures = HEALTHY.generate(z).copy()
        pictures[broken(z), 0, 3, 1] = value
        return pictures

    return FakeRuntime(HEALTHY.step, generate)


def bright(z: np.ndarray) -> np.ndarray:
    """Which of the latents draw a picture that is bright on its known right half."""
    return z.reshape(-1, 8, 8)[:, :, 4:].mean((1, 2)) > 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_draw_no_numbers_are_named(value):
    z = np.zeros((150, 64), np.float32)
    z[100:] = 1
    np.testing.assert_array_equal(drawn(z[:100], MODEL, breaking(value, bright)), HEALTHY.generate(z[:100]))
    with pytest.raises(ModelError, match=SAID.format("picture 100")):
        drawn(z, MODEL, breaking(value, bright))


def test_a_completion_that_draws_no_numbers_fails_and_the_others_of_its_batch_do_not():
    sources = [np.full((8, 8, 1), level, np.uint8) for level in (20, 250, 30)]
    outcomes = list(Completer(MODEL, breaking(np.nan, bright)).complete_many(sources, REQUEST))
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Result]
    with pytest.raises(ModelError, match=SAID.format("the picture")):
        raise outcomes[1].error


def test_a_film_with_a_frame_of_no_numbers_is_not_shown():
    """The last step leaves a z that no step has judged: its frame alone is broken."""
    seen: list[np.ndarray] = []

    def evaluate(z, task):
        seen.append(z.copy())
        return HEALTHY.step(z, task)

    def generate(z):
        judged = [any(np.array_equal(row, rows[0]) for rows in seen) for row in z]
        first = not seen
        return np.where(np.array(judged)[:, None, None, None] | first, HEALTHY.generate(z), np.nan)

    request = replace(REQUEST, frames=3, settings=replace(SETTINGS, steps=6))
    source = np.full((8, 8, 1), 20, np.uint8)
    plain = replace(request, frames=0)
    (result,) = Completer(MODEL, FakeRuntime(evaluate, generate)).complete_many([source], plain)
    assert isinstance(result, Result)
    seen.clear()
    (filmed,) = Completer(MODEL, FakeRuntime(evaluate, generate)).complete_many([source], request)
    assert isinstance(filmed, Failure) and "NaN" in str(filmed.error)


def test_candidates_of_no_numbers_are_left_out_and_the_others_are_shown():
    """Searches from random starts end near the mean of the prior in the hole, half of them above it."""

    def a_little_above(z):
        return (z[:, 0] > 0) & (z[:, 0] < 0.05)

    searches = []

    def generate(z):
        searches.append(a_little_above(z))
        return breaking(np.nan, a_little_above).generate(z)

    source = np.full((8, 8, 1), 128, np.uint8)
    completer = Completer(MODEL, FakeRuntime(HEALTHY.step, generate))
    result = completer.complete(source, mask="left", settings=SETTINGS, candidates=4, confidence=True, seed=2)
    assert 0 < searches[-1].sum() < len(searches[-1])
    assert len(result.candidates) == 2
    assert all(np.isfinite(each.generated).all() for each in result.candidates)
    assert result.confidence.min() > 200


def test_a_fill_that_draws_no_numbers_names_the_picture():
    pictures = np.full((3, 8, 8, 1), 20, np.uint8)
    pictures[2] = 250
    known = np.ones((3, 8, 8), bool)
    known[:, :, :4] = False
    completer = Completer(MODEL, breaking(np.nan, bright))
    completer.fill(pictures[:2], known[:2], settings=SETTINGS)
    with pytest.raises(ModelError, match=SAID.format("picture 2")):
        completer.fill(pictures, known, settings=SETTINGS)
