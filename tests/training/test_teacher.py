"""A model that teaches: what it makes of pictures, and which models cannot."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgefill.completion import load
from edgefill.errors import InputError, ModelError
from edgefill.pictures.images import from_unit
from edgefill.training import teacher
from edgefill.training.teacher import Teacher

CPU = torch.device("cpu")


def test_it_completes_what_is_missing_as_the_model_does():
    pictures = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    known = torch.ones(2, 1, 48, 64)
    known[0, :, 10:30, 20:50] = 0  # in the second picture nothing is missing
    completed = Teacher("photos", 3, CPU).completed(pictures, known)
    assert torch.equal(completed[1], pictures[1]) and torch.equal(completed[0, :, :10], pictures[0, :, :10])
    shown = from_unit(pictures[0].permute(1, 2, 0).numpy())
    with load("photos", "cpu") as completer:
        expected = completer.complete(shown, known[0, 0].numpy() == 0).picture.values
    np.testing.assert_array_equal(from_unit(completed[0].permute(1, 2, 0).numpy()), expected)


@pytest.mark.parametrize(
    ("model", "channels", "error", "said"),
    [
        ("faces64", 1, InputError, "faces64 cannot teach: it searches"),
        (
            "faces64-glcic",
            3,
            InputError,
            "it takes pictures of 1 channels; expected a model that completes pictures of 3 channels",
        ),
        ("nobody.edgefill", 3, ModelError, "nobody.edgefill"),
    ],
)
def test_a_model_that_cannot_teach_is_refused(model, channels, error, said):
    with pytest.raises(error, match=said):
        Teacher(model, channels, CPU)


@pytest.mark.parametrize(("device", "backend"), [("cpu", "cpu"), ("cuda", "auto")])
def test_it_runs_where_the_training_does(monkeypatch, device, backend):
    opened = []
    monkeypatch.setattr(teacher, "open_backend", lambda name, bundle: opened.append(name))
    Teacher("photos", 3, torch.device(device))
    assert opened == [backend]


def test_where_frames_have_one_size_it_is_shown_no_others(monkeypatch):
    pictures, known = torch.zeros(1, 3, 96, 96), torch.ones(1, 1, 96, 96)
    known[0, :, 40:46, 20:60] = 0  # a stroke
    sides = set()
    with load("photos", "cpu") as completer:
        side = completer.model.passed.cells[0]

    def noted(runtime, model, picture, known):
        sides.add(picture.shape[2:])
        return picture

    monkeypatch.setattr(teacher, "draw", noted)
    monkeypatch.setattr(teacher, "open_backend", lambda *_: SimpleNamespace(one_size=True))
    Teacher("photos", 3, CPU).completed(pictures, known)
    assert sides == {(side, side)}
