"""What is asked of a server: how much time its jobs get, and the settings of a search."""

from __future__ import annotations

import inspect
from dataclasses import fields
from io import BytesIO

import pytest
from PIL import Image

from edgefill.cli.complete import complete
from edgefill.methods.latent.settings import SearchSettings, search_settings
from edgefill.serve import asking
from edgefill.serve.asking import FIELDS, Urgency, read_asked
from edgefill.serve.forms import Form
from edgefill.serve.limits import Limits
from tests.completion.fakes import Clock, fake_model


@pytest.mark.parametrize(("seconds", "left"), [(2, 1.9), (0.2, 0.19), (60, 59.9), (0, 1e-3), (-5, 1e-3)])
def test_a_part_of_the_time_is_kept_for_the_way_of_the_answer(seconds, left, monkeypatch):
    monkeypatch.setattr(asking, "time", Clock())
    assert Urgency(seconds, 0).left == pytest.approx(left)


def test_every_setting_of_a_search_that_the_command_takes_is_a_field():
    settings = {
        *inspect.signature(search_settings).parameters,
        *(each.name for each in fields(SearchSettings)),
    }
    offered = settings & set(inspect.signature(complete).parameters)
    assert offered <= FIELDS.keys() and len(offered) > 10


@pytest.mark.parametrize(("text", "moves"), [("false", False), ("true", True), ("", True)])
def test_a_search_may_be_asked_to_move_z_alone(text, moves):
    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    form = Form({"picture": picture.getvalue()}, {"mask": "center", "features": text, "steps": "9"})
    found = read_asked(form, fake_model(channels=3), Limits(), Urgency(0, 0)).request.settings
    assert (found.features, found.steps) == (moves, 9)
