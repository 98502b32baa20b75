"""What is asked of a server: how much time its jobs get."""

from __future__ import annotations

import pytest

from edgefill.serve import asking
from edgefill.serve.asking import Urgency
from tests.completion.fakes import Clock


@pytest.mark.parametrize(("seconds", "left"), [(2, 1.9), (0.2, 0.19), (60, 59.9), (0, 1e-3), (-5, 1e-3)])
def test_a_part_of_the_time_is_kept_for_the_way_of_the_answer(seconds, left, monkeypatch):
    monkeypatch.setattr(asking, "time", Clock())
    assert Urgency(seconds, 0).left == pytest.approx(left)
