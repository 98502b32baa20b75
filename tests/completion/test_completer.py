from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgefill.completion import Completer, Failure, Request, Result, SearchSettings, in_order, load
from edgefill.errors import InputError, ModelError
from edgefill.methods.latent.graphs import generate
from tests.bundles import tiny_bundle
from tests.completion.fakes import FakeRuntime, fake_model, fake_runtime

MODEL = fake_model()
SETTINGS = SearchSettings("adam", steps=30, lr=0.1)
REQUEST = Request(settings=SETTINGS, mask="random:0.3")


@pytest.fixture
def completer() -> Completer:
    return Completer(MODEL, fake_runtime(MODEL))


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (8 + number, 9, 1), np.uint8) for number in range(count)]


def test_a_completed_picture_fits_what_is_known(completer):
    array = pictures(1)[0]
    result = completer.complete(array, mask="left", settings=replace(SETTINGS, steps=200))
    assert result.steps == 200 and result.seconds > 0
    assert (
        result.contextual < 0.1 * completer.complete(array, "left", settings=replace(SETTINGS, steps=1)).loss
    )
    assert result.loss == pytest.approx(result.contextual + 0.1 * result.perceptual, rel=1e-5)
    np.testing.assert_array_equal(np.asarray(result.image)[:, 4:], array[:, 4:, 0])
    assert (np.asarray(result.masked)[:, :4] == 128).all()
    np.testing.assert_array_equal(result.generated.ravel(), result.z)


def test_files_pillow_pictures_and_arrays_are_the_same_to_it(completer, tmp_path):
    array = pictures(1)[0]
    Image.fromarray(array[:, :, 0]).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(array[:, :, 0]), array]
    results = [completer.complete(source, settings=SETTINGS) for source in sources]
    assert all(np.array_equal(result.image, results[0].image) for result in results)
    assert results[0].picture.name == "a.png"


def test_a_result_does_not_depend_on_what_else_is_in_its_batch(completer):
    together = list(completer.complete_many(pictures(5), REQUEST, batch=4))
    for array, result in zip(pictures(5), together, strict=True):
        alone = next(completer.complete_many([array], REQUEST))
        np.testing.assert_array_equal(alone.z, result.z)
        np.testing.assert_array_equal(alone.picture.values, result.picture.values)
        assert alone.loss == result.loss


def test_a_picture_that_cannot_be_read_leaves_the_others_alone(completer, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    good = pictures(2)
    outcomes = list(completer.complete_many([good[0], tmp_path / "bad.png", good[1]], REQUEST))
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Result]
    assert isinstance(outcomes[1].error, InputError) and outcomes[1].source == tmp_path / "bad.png"
    alone = next(completer.complete_many([good[1]], REQUEST))
    np.testing.assert_array_equal(outcomes[2].picture.values, alone.picture.values)


def test_a_search_that_is_not_finite_fails_with_its_step_and_no_other_does():
    healthy = fake_runtime(MODEL)
    calls = itertools.count(1)

    def breaks(z, task):
        found = healthy.step(z, task)
        white = (np.where(task.weight > 0, task.target, 1) == 1).all((1, 2, 3))
        if white.any() and next(calls) == 4:
            found.loss[white] = np.inf
        return found

    completer = Completer(MODEL, FakeRuntime(breaks, healthy.generate))
    sources = pictures(3)
    sources[1][:] = 255
    outcomes = list(completer.complete_many(sources, REQUEST))
    assert [type(outcome) for outcome in outcomes] == [Result, Failure, Result]
    assert isinstance(outcomes[1].error, ModelError) and "stopped at step 4" in str(outcomes[1].error)
    alone = next(Completer(MODEL, healthy).complete_many([pictures(3)[2]], REQUEST))
    np.testing.assert_array_equal(outcomes[2].z, alone.z)


def test_nothing_missing_gives_the_picture_back_without_a_search(completer):
    array = pictures(1)[0]
    outcomes = list(completer.complete_many([array, array], replace(REQUEST, mask="random:0")))
    for result in outcomes:
        np.testing.assert_array_equal(result.picture.values, array)
        assert result.steps == 0 and result.z is None and "nothing is missing" in result.notices[0]


def test_full_searches_for_the_whole_picture_and_changes_nothing(completer):
    array = pictures(1)[0]
    result = completer.complete(array, mask="full", settings=SETTINGS)
    np.testing.assert_array_equal(result.picture.values, array)
    assert result.steps == 30 and result.generated.shape == (1, 8, 8)


def test_nothing_known_gives_a_sample(completer):
    result = completer.complete(pictures(1)[0], mask="random:1", settings=SETTINGS)
    assert "free sample" in result.notices[0] and result.contextual == 0


def test_lowres_finds_a_picture_with_the_same_block_means(completer):
    array = pictures(1)[0]
    result = completer.complete(array, "lowres", settings=replace(SETTINGS, steps=300, lr=0.01))
    assert result.generated.mean() == pytest.approx(array.mean() / 127.5 - 1, abs=0.02)


def test_trace_and_frames_say_how_the_search_went(completer):
    request = replace(REQUEST, trace=True, frames=6)
    result = next(completer.complete_many(pictures(1), request))
    assert result.trace.loss.shape == (30,) and result.trace.z.shape == (30, 64)
    assert result.trace.loss.min() == np.float32(result.loss)
    np.testing.assert_array_equal(result.trace.z[result.trace.loss.argmin()], result.z)
    assert len(result.frames) == 30 / 5 + 1
    for number, frame in enumerate(result.frames[:-1]):
        np.testing.assert_array_equal(frame.ravel(), result.trace.z[5 * number])
    untraced = next(completer.complete_many(pictures(1), REQUEST))
    assert untraced.trace is None and untraced.frames == ()
    np.testing.assert_array_equal(untraced.z, result.z)


def test_no_more_than_a_batch_is_read_ahead(completer):
    read = []

    def sources():
        for array in pictures(40):
            read.append(array)
            yield array

    outcomes = completer.complete_many(sources(), REQUEST, batch=2)
    assert read == []
    for number, _ in enumerate(outcomes, start=1):
        assert len(read) <= number + (1 + 1 + in_order._WINDOW) * 2
    assert number == len(read) == 40


def test_progress_adds_up_to_the_number_of_pictures(completer):
    done = []
    list(completer.complete_many(pictures(5), REQUEST, batch=2, progress=done.append))
    assert sum(done) == pytest.approx(5) and min(done) > 0


def test_the_seed_decides(completer):
    one, same, other = (
        completer.complete(pictures(1)[0], seed=seed, settings=SETTINGS) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.z, same.z)
    assert not np.array_equal(one.z, other.z)


def test_batches_of_nothing_are_refused_and_no_pictures_give_no_results(completer):
    assert list(completer.complete_many([])) == []
    with pytest.raises(InputError, match="batch cannot be 0"):
        list(completer.complete_many(pictures(1), batch=0))


def test_hints_that_cannot_be_followed_are_refused(completer):
    with pytest.raises(InputError, match="poisson, none"):
        completer.complete(pictures(1)[0], blend="feather")
    with pytest.raises(InputError, match="seed cannot be -1"):
        completer.complete(pictures(1)[0], seed=-1)
    with pytest.raises(InputError, match="no kind"):
        completer.complete(pictures(1)[0], mask="heart")


def test_a_bundle_is_loaded_by_its_path_and_completes(tmp_path):
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_bundle())
    with load(path, threads=1) as completer:
        start = completer.complete(pictures(1)[0], "left", settings=replace(SETTINGS, steps=1))
        result = completer.complete(pictures(1)[0], "left", settings=SETTINGS)
        assert result.loss < start.loss
        np.testing.assert_allclose(
            generate(completer.backend, result.z[None])[0], result.generated, atol=1e-6
        )


def test_a_pull_keeps_z_near_its_anchor(completer):
    free, held = (
        completer.complete(pictures(1)[0], settings=replace(SETTINGS, steps=200, pull=pull))
        for pull in (0.0, 1e3)
    )
    assert np.abs(held.z).max() < 0.05 < np.abs(free.z).mean()
