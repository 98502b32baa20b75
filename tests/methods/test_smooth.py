"""The method without a network: any picture, any hole, no file, and nothing of a search."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import edgefill
from edgefill.completion import Request, load
from edgefill.errors import InputError, ModelError
from edgefill.jobs.request import Result

KINDS = ("L", "LA", "RGB", "RGBA", "I;16")


def pictured(mode: str) -> Image.Image:
    row, column = np.mgrid[:70, :90]
    grey = 120 + 60 * np.sin(row / 11) + 40 * np.cos(column / 17)
    if mode == "I;16":
        return Image.fromarray((grey * 257).astype(np.uint16))
    planes = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}[mode]
    values = np.stack([grey, 255 - grey, grey / 2][:planes], -1).astype(np.uint8)
    if "A" in mode:
        alpha = np.full((70, 90, 1), 255, np.uint8)
        alpha[20:24, 10:60] = 0
        values = np.concatenate([values, alpha], -1)
    return Image.fromarray(values.squeeze(), mode)


@pytest.mark.parametrize("mode", KINDS)
@pytest.mark.parametrize("mask", ["center", "pattern:0.3", "grid", "left"])
def test_any_picture_is_completed_and_what_is_known_stays(mode, mask):
    given = pictured(mode)
    with load("smooth") as completer:
        result = completer.complete(given, mask)
    before, after = np.asarray(given), np.asarray(result.image)
    known = result.photograph.known
    assert (before[known] == after[known]).all() and after.shape == before.shape
    assert result.image.mode == given.mode and result.ended == "pass" and result.steps == 0
    if mask in ("grid", "center") and mode == "L":
        assert np.abs(before.astype(int) - after)[~known].mean() < 12


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_filled_and_opaque_then(mode):
    result = edgefill.load("smooth").complete(pictured(mode), "alpha")
    values = np.asarray(result.image).astype(int)
    assert (values[..., -1] == 255).all()
    assert np.abs(values[20:24, 10:60, 0] - np.asarray(pictured("L"))[20:24, 10:60]).max() <= 2


def test_a_box_of_the_picture_is_completed_and_the_rest_stays():
    given = np.asarray(pictured("RGB"))
    result = load("smooth").complete(given, "center", box=(10, 10, 40, 40))
    changed = (np.asarray(result.image) != given).any(2)
    assert changed.any() and not changed[:10].any() and not changed[:, 50:].any()


def test_many_pictures_come_in_their_order_and_failures_stay_alone():
    sources = [np.asarray(pictured("RGB")), "missing.png", np.asarray(pictured("L"))]
    outcomes = list(load("smooth").complete_many(sources, Request("center")))
    assert [isinstance(outcome, Result) for outcome in outcomes] == [True, False, True]


def test_arrays_are_filled_at_any_size():
    given = np.stack([np.asarray(pictured("RGB"))] * 2)
    known = np.ones(given.shape[:3], bool)
    known[:, 30:34, 5:70] = False
    completed = load("smooth").fill(given, known)
    assert (completed[known] == given[known]).all() and (completed[0] == completed[1]).all()
    assert np.abs(completed.astype(int) - given).max() <= 3
    with pytest.raises(InputError, match="true where a pixel is kept"):
        load("smooth").fill(given, known.astype(np.uint8))
    with pytest.raises(InputError, match="1 or 3"):
        load("smooth").fill(given[0], known)


@pytest.mark.parametrize(
    "asked", [{"candidates": 2}, {"confidence": True}, {"trace": True}, {"mask": "lowres"}], ids=str
)
def test_what_only_a_search_can_give_is_refused(asked):
    with pytest.raises(InputError, match="smooth completes in one pass, without a search"):
        next(load("smooth").complete_many([np.asarray(pictured("L"))], Request(**asked)))


def test_it_needs_no_backend():
    with pytest.raises(InputError, match=r"'tensorrt'.*leave the backend out"):
        load("smooth", "tensorrt")
    with load("smooth") as completer, pytest.raises(ModelError, match="has no graph"):
        completer.backend.run("completion", {})
    assert completer.model.name == "smooth" and not completer.model.digest
