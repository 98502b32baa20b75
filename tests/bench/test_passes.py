"""The bench of feed-forward networks: one that takes a single size, and one that takes any."""

from __future__ import annotations

import pytest

from edgefill.bench.board import open_board
from edgefill.bench.passes import Passes
from edgefill.bench.timing import Rule
from edgefill.completion import load
from tests.bundles import tiny_one_pass

QUICK = Rule(warm_up=0.0, seconds=1e-6, iterations=1)


@pytest.mark.parametrize("name", ["openvino", "cpu"])
def test_passes_are_timed_and_compared(name, tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_one_pass(3))
    with load(tmp_path / "tiny.edgefill", name, threads=1) as completer, open_board(False) as board:
        figures, trial = Passes(completer, 2).measured(QUICK, board, lambda phase, share: None)
    with load(tmp_path / "tiny.edgefill", "cpu", threads=1) as reference:
        assert trial.differences(reference.backend)["picture_difference"] < 1e-5
    assert trial.drawn.shape == (2, 3, 64, 64) and figures.step_ms.median > 0 and figures.plan_bytes
