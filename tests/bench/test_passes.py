"""The bench of feed-forward networks: one that takes a single size, and one that takes any."""

from __future__ import annotations

import pytest

from edgefill.bench.board import open_board
from edgefill.bench.passes import Passes, side_of_a_pass
from edgefill.bench.timing import Rule
from edgefill.completion import load
from edgefill.model.interface import Sizes
from edgefill.model.manifest import completion_interface
from tests.bundles import tiny_one_pass

QUICK = Rule(warm_up=0.0, seconds=1e-6, iterations=1)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (Sizes(multiple=4), (100, 100)),
        (Sizes(multiple=32), (128, 128)),
        (Sizes(multiple=8, smallest=200), (200, 200)),
        (Sizes(fixed=(16, 24)), (16, 24)),
    ],
)
def test_a_network_is_measured_at_a_size_that_it_takes(sizes, expected):
    interface = completion_interface(3, trained_side=100, sizes=sizes, reach=None)
    assert side_of_a_pass(interface) == expected


@pytest.mark.parametrize("name", ["openvino", "cpu"])
def test_passes_are_timed_and_compared(name, tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_one_pass(3))
    with load(tmp_path / "tiny.edgefill", name, threads=1) as completer, open_board(False) as board:
        figures, trial = Passes(completer, 2).measured(QUICK, board, lambda phase, share: None)
    with load(tmp_path / "tiny.edgefill", "cpu", threads=1) as reference:
        assert trial.differences(reference.backend)["picture_difference"] < 1e-5
    assert trial.drawn.shape == (2, 3, 64, 64) and figures.step_ms.median > 0 and figures.plan_bytes
