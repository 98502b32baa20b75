"""How long one more job would take, by those that were there."""

from __future__ import annotations

import pytest

from edgefill.completion.pace import Pace


def test_a_place_is_free_as_often_as_there_are_places():
    pace = Pace()
    assert pace.wait(10) == 0, "nothing is known"
    pace.ended(0.8, 16)
    assert pace.wait(0) == pytest.approx(0.05) and pace.wait(31) == pytest.approx(1.6)
    for _ in range(100):
        pace.ended(0.2, 4)
    assert (pace.stay, pace.wait(3)) == (pytest.approx(0.2, rel=0.01), pytest.approx(0.2, rel=0.01))
    pace.forget()
    assert pace.wait(10) == 0


def test_finishing_is_expected_to_take_as_long_as_the_nearest_size_took():
    pace = Pace()
    assert pace.finishing(1000) == 0
    pace.finished(2**20, 1.0)
    pace.finished(2**12, 0.001)
    assert pace.finishing(2**22) == 4 and pace.finishing(2**13) == 0.002
    pace.finished(2**20, 3.0)
    assert pace.finishing(2**20) == 2
