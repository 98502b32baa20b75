"""What may be asked of a picture, in whatever form, and what a Result shows of itself."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgefill.completion import Completer, Request, Result, SearchSettings
from edgefill.errors import InputError
from tests.completion.fakes import fake_model, fake_runtime

MODEL = fake_model()
SETTINGS = SearchSettings("adam", steps=10)
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 10, 1), np.uint8)
HOLE = np.zeros((12, 10), bool)
HOLE[3:7, 2:8] = True


@pytest.fixture
def completer() -> Completer:
    return Completer(MODEL, fake_runtime(MODEL))


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_mask_is_an_array_a_pillow_picture_a_path_or_bytes_and_white_is_filled(completer, tmp_path):
    white = Image.fromarray(np.uint8(255) * HOLE)
    white.save(tmp_path / "hole.png")
    masks = [
        HOLE,
        np.uint8(255) * HOLE,
        white,
        tmp_path / "hole.png",
        str(tmp_path / "hole.png"),
        encoded(white),
    ]
    results = [completer.complete(PICTURE, mask=mask, settings=SETTINGS) for mask in masks]
    for result in results:
        np.testing.assert_array_equal(result.photograph.known, ~HOLE)
        np.testing.assert_array_equal(result.picture.values, results[0].picture.values)


def test_a_picture_may_be_the_bytes_of_a_file(completer):
    as_bytes = completer.complete(encoded(Image.fromarray(PICTURE[:, :, 0])), settings=SETTINGS)
    as_array = completer.complete(PICTURE, settings=SETTINGS)
    np.testing.assert_array_equal(as_bytes.picture.values, as_array.picture.values)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mask": 3}, "a mask of the type int: expected its name"),
        ({"mask": None}, "a mask of the type NoneType"),
        ({"mask": HOLE[:5]}, "the mask that was given: it has 10×5 pixels, expected the picture's 10×12"),
        ({"mask": HOLE.astype(np.float32)}, "an array of shape .* float32"),
        ({"box": (1, 2, 3)}, r"the box \(1, 2, 3\): expected four whole numbers"),
        ({"box": "1,2,3,4"}, "the box '1,2,3,4': expected four"),
        ({"seed": None}, "the seed None: expected a whole number"),
        ({"seed": 1.5}, "the seed 1.5: expected a whole number"),
        ({"candidates": "3"}, "the candidates '3': expected a whole number"),
        ({"settings": "adam"}, "settings of the type str: expected SearchSettings"),
        ({"deadline": 0}, "within 0 seconds: expected a time above 0"),
        ({"deadline": "soon"}, "within 'soon' seconds"),
    ],
)
def test_what_cannot_be_asked_is_said_clearly(completer, asked, said):
    with pytest.raises(InputError, match=said):
        completer.complete(PICTURE, **asked)


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], b"", b"no picture"])
def test_what_is_no_picture_is_said_clearly(completer, source):
    with pytest.raises(InputError, match="cannot read"):
        completer.complete(source, settings=SETTINGS)


def test_numbers_of_numpy_are_numbers(completer):
    box = tuple(np.array([1, 1, 8, 8]))
    assert completer.complete(PICTURE, seed=np.int64(3), box=box, settings=SETTINGS).steps == 10


def test_a_result_says_what_it_is_in_one_line_and_shows_itself_in_a_notebook(completer):
    result = completer.complete(PICTURE, mask=HOLE, settings=SETTINGS)
    assert repr(result).startswith("<Result, 10×12, ended by 'steps', 10 steps, loss ") and "\n" not in repr(
        result
    )
    with Image.open(io.BytesIO(result._repr_png_())) as shown:
        np.testing.assert_array_equal(np.asarray(shown), result.picture.values[:, :, 0])


def test_a_loss_is_none_where_there_is_none(completer):
    result = completer.complete(PICTURE, mask="random:0")
    assert isinstance(result, Result)
    assert (result.loss, result.contextual, result.perceptual, result.prior) == (None,) * 4


def test_settings_without_a_solver_change_the_default_search(completer):
    default, short = (completer.complete(PICTURE, settings=each) for each in (None, SearchSettings(steps=20)))
    assert (default.steps, short.steps) == (100, 20)
    trace = replace(Request("center"), trace=True)
    (whole,) = completer.complete_many([PICTURE], trace)
    (part,) = completer.complete_many([PICTURE], replace(trace, settings=SearchSettings(steps=20)))
    np.testing.assert_array_equal(part.trace.z, whole.trace.z[:20])


def test_a_whole_picture_is_fitted_by_the_default_search(completer):
    """Where nothing is missing nothing is near a hole: all pixels count alike."""
    dark, bright = (completer.complete(np.full((8, 8, 1), level, np.uint8), "full") for level in (40, 220))
    assert dark.loss > 0 and dark.generated.mean() < -0.3 and bright.generated.mean() > 0.3
