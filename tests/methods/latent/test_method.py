"""The batch whose places are never empty: who is in it when, and that nobody is the worse for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.completion import Completer, Failure, Request, Result, SearchSettings, worker
from edgefill.errors import ModelError
from edgefill.methods.latent import candidates
from tests.completion.fakes import Clock, FakeRuntime, WideRuntime, fake_model, fake_runtime

MODEL = fake_model()
SETTINGS = SearchSettings("adam", steps=60, lr=0.1)
REQUEST = Request(settings=SETTINGS, mask="left")


def grey(level: int) -> np.ndarray:
    return np.full((8, 8, 1), level, np.uint8)


class Watched:
    """A runtime that notes how many rows each evaluation has, which takes a second of ``clock``."""

    def __init__(self, clock: Clock | None = None):
        self.rows: list[int] = []
        healthy = fake_runtime(MODEL)

        def step(z, task):
            self.rows.append(len(z))
            if clock:
                clock.now += 1
            return healthy.step(z, task)

        self.runtime = FakeRuntime(step, healthy.generate)


@pytest.fixture
def gathering(monkeypatch):
    """A batch waits for all that is being read, however slowly this machine reads."""
    monkeypatch.setattr(worker, "_GATHER", 60.0)


def test_a_finished_pictures_place_is_taken_by_the_next(gathering):
    """Pictures end at other steps: a place is never empty while there is one more."""
    settings = replace(SETTINGS, goal=6.0)
    watched = Watched()
    sources = [grey(level) for level in (128, 250, 130, 240, 120, 128, 255, 135, 20, 128)]
    request = replace(REQUEST, settings=settings)
    results = list(Completer(MODEL, watched.runtime).complete_many(sources, request, batch=3))
    steps = [result.steps for result in results]
    assert len(set(steps)) > 2 and {result.ended for result in results} == {"goal"}
    # The steps of all pictures in turn, three at a time, with what a turn rounds up.
    assert watched.rows[0] == 3
    alone = Completer(MODEL, fake_runtime(MODEL))
    for source, result in zip(sources, results, strict=True):
        np.testing.assert_array_equal(next(alone.complete_many([source], request)).z, result.z)


def test_places_are_filled_whole_batches_long_where_all_take_the_same_steps(gathering):
    watched = Watched()
    list(Completer(MODEL, watched.runtime).complete_many([grey(100)] * 7, REQUEST, batch=3))
    assert watched.rows == [3] * 60 + [3] * 60 + [1] * 60


def test_the_order_is_that_of_the_sources_though_the_first_takes_longest():
    settings = replace(SETTINGS, goal=8.0, steps=400)
    levels = [255, 128, 128, 140, 128]
    results = list(
        Completer(MODEL, fake_runtime(MODEL)).complete_many(
            map(grey, levels), replace(REQUEST, settings=settings), batch=2
        )
    )
    assert [int(result.source[0, 0, 0]) for result in results] == levels
    assert results[0].steps > max(result.steps for result in results[1:])


def test_nothing_but_its_steps_makes_new_arrays_of_a_search():
    """A device copies what is another array than the one that it gave."""

    class Owner(FakeRuntime):
        def __init__(self) -> None:
            healthy = fake_runtime(MODEL)
            super().__init__(healthy.step, healthy.generate)
            self.left: dict[str, np.ndarray] = {}
            self.turns, self.other = 0, set()

        def solve(self, state, n):
            self.other |= {name for name in self.left if state.arrays[name] is not self.left[name]}
            super().solve(state, n)
            self.left, self.turns = state.arrays, self.turns + 1

    runtime = Owner()
    Completer(MODEL, runtime).complete(grey(60), "left", settings=SETTINGS)
    assert runtime.turns > 1 and not runtime.other


def test_a_search_ends_when_its_time_is_up(monkeypatch):
    watched = Watched(Clock().install(monkeypatch))
    settings = replace(SETTINGS, steps=1000, milliseconds=30_500)
    (result,) = Completer(MODEL, watched.runtime).complete_many(
        [grey(200)], replace(REQUEST, settings=settings)
    )
    assert (result.ended, result.steps) == ("time", 30) and result.loss < np.inf


def test_the_time_of_a_picture_begins_with_its_place(monkeypatch):
    """One that comes later has as much of it as the first."""
    watched = Watched(Clock().install(monkeypatch))
    settings = replace(SETTINGS, steps=1000, milliseconds=40_500)
    request = replace(REQUEST, settings=settings)
    results = list(Completer(MODEL, watched.runtime).complete_many([grey(200)] * 6, request, batch=2))
    assert all((result.ended, result.steps) == ("time", 40) for result in results)


def test_a_row_that_fails_leaves_its_place_to_the_next_and_the_others_alone():
    healthy = fake_runtime(MODEL)

    def step(z, task):
        found = healthy.step(z, task)
        broken = task.target[:, 0, 0, 7] > 0.9
        found.loss[broken] = np.nan
        return found

    completer = Completer(MODEL, FakeRuntime(step, healthy.generate))
    sources = [grey(level) for level in (255, 100, 255, 90, 80)]
    outcomes = list(completer.complete_many(sources, REQUEST, batch=2))
    assert [type(outcome) for outcome in outcomes] == [Failure, Result, Failure, Result, Result]
    assert "stopped at step 1" in str(outcomes[0].error) and isinstance(outcomes[0].error, ModelError)
    alone = next(Completer(MODEL, healthy).complete_many([sources[4]], REQUEST))
    np.testing.assert_array_equal(outcomes[4].z, alone.z)


def test_the_search_begins_at_the_encoders_z_and_is_pulled_to_it():
    seen = []

    def encode(picture, known):
        seen.append((picture, known))
        return np.full((len(picture), MODEL.z_dim), 7.0, np.float32)

    healthy = fake_runtime(MODEL)
    model = replace(MODEL, files={"encoder.onnx": {}})
    completer = Completer(model, FakeRuntime(healthy.step, healthy.generate, encode))
    settings = replace(SETTINGS, start="encoder", pull=2.0, steps=1)
    result = completer.complete(grey(0), "left", settings=settings)
    assert (result.z == 1).all(), "it lies in the cube"
    picture, known = seen[0]
    assert (picture[0, 0, :, :4] == 0).all() and (picture[0, 0, :, 4:] == -1).all()
    assert known.sum() == 32
    held = completer.complete(grey(0), "left", settings=replace(settings, pull=1e4, steps=50))
    assert np.abs(held.z - 1).max() < 0.05


def test_the_default_search_moves_what_lies_behind_the_first_layer_where_a_runtime_can(monkeypatch):
    monkeypatch.setattr(candidates, "suited_settings", lambda *_: SearchSettings("adam", steps=200))
    model, runtime = replace(MODEL, files={"encoder.onnx": {}}), WideRuntime(MODEL)
    completer = Completer(model, runtime)
    result = completer.complete(grey(255), "left", candidates=2, trace=True)
    assert set(runtime.widths) == {MODEL.z_dim, 2 * MODEL.z_dim}, "candidates are of z"
    assert len(result.candidates) == 2, "which fits less well"
    assert result.candidates[0].contextual < result.candidates[1].contextual / 1.6
    assert result.z.shape == (MODEL.z_dim,) and result.trace.z.shape == (result.steps, MODEL.z_dim)
    for settings in (
        SearchSettings(features=False),
        SearchSettings(lam=0.1),
        SearchSettings("adam", start="encoder", lam=0.0),
    ):
        runtime.widths.clear()
        plain = completer.complete(grey(255), "left", settings=settings)
        assert set(runtime.widths) == {MODEL.z_dim}
        assert plain.contextual > 1.6 * result.contextual
    known = np.zeros((3, 8, 8), bool)
    known[:, :, 4:] = True
    filled = completer.fill(np.full((3, 8, 8, 1), 255, np.uint8), known)
    assert (filled[:, :, 4:] == 255).all() and runtime.widths[-1] == 2 * MODEL.z_dim


def test_a_model_without_an_encoder_says_so_where_one_is_asked_for():
    completer = Completer(MODEL, fake_runtime(MODEL))
    with pytest.raises(ModelError, match=r"fake has no encoder.*--start random"):
        completer.complete(grey(9), "left", settings=replace(SETTINGS, start="encoder"))
    assert completer.complete(grey(9), "left").steps == 100, "the default starts at random then"


def test_the_best_of_several_starts_is_taken():
    completer = Completer(MODEL, fake_runtime(MODEL))
    one, best, again = (
        completer.complete(grey(60), "left", settings=replace(SETTINGS, steps=1, starts=starts))
        for starts in (1, 200, 200)
    )
    assert best.loss < one.loss
    np.testing.assert_array_equal(best.z, again.z)


def test_candidates_differ_and_fit_and_the_first_is_the_result(monkeypatch):
    """Without a pull the fake model leaves what is missing where it starts: all of that fits as well."""
    monkeypatch.setattr(candidates, "suited_settings", lambda *_: SearchSettings("adam", steps=200))
    completer = Completer(MODEL, fake_runtime(MODEL))
    settings = SearchSettings(steps=200)
    plain = completer.complete(grey(60), "left", settings=settings)
    result = completer.complete(grey(60), "left", settings=settings, candidates=4, confidence=True)
    np.testing.assert_array_equal(result.picture.values, plain.picture.values)
    assert len(result.candidates) == 4 and result.candidates[0].picture is result.picture
    fits = [candidate.contextual for candidate in result.candidates[1:]]
    assert fits == sorted(fits)
    holes = [candidate.generated[:, :, :4] for candidate in result.candidates]
    for number, hole in enumerate(holes):
        assert all(np.abs(hole - other).mean() > 0.05 for other in holes[number + 1 :])
    assert result.confidence.shape == (8, 8) and (result.confidence[:, 4:] == 255).all()
    assert result.confidence[:, :4].mean() < 128, "where nothing is known searches end anywhere"


def test_candidates_that_look_alike_are_one():
    """A G that draws the same whatever z is."""
    healthy = fake_runtime(MODEL)
    completer = Completer(MODEL, FakeRuntime(healthy.step, lambda z: np.zeros((len(z), 1, 8, 8), np.float32)))
    result = completer.complete(grey(60), "left", settings=SETTINGS, candidates=4, confidence=True)
    assert len(result.candidates) == 1
    assert (result.confidence == 255).all()
