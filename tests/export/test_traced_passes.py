"""What is done to a traced graph: the graph is right, and traced no more often than it has to be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as f

from edgefill.export import gradient_graph, programs

KERNEL = torch.linspace(-1, 1, 9).reshape(1, 1, 3, 3)


def nobody_sees(x):
    """Two writes, each into what was made for it."""
    return f.leaky_relu(f.conv2d(f.relu(f.conv2d(x, KERNEL), inplace=True), KERNEL), 0.2, inplace=True)


def read_before(x):
    """The convolution is read, and then written."""
    made = f.conv2d(x, KERNEL)
    before = made.exp()
    return f.relu(made, inplace=True) * before


def written_through_a_view(x):
    """Half of the convolution is written."""
    made = f.conv2d(x, KERNEL)
    made[:, :, :3].relu_()
    return made


@pytest.mark.parametrize(
    ("function", "times"), [(nobody_sees, 1), (read_before, 2), (written_through_a_view, 2)]
)
def test_a_write_that_nobody_sees_is_no_reason_to_trace_again(function, times, monkeypatch):
    tracings, traced = [], programs.traced
    monkeypatch.setattr(programs, "traced", lambda *each: tracings.append(each) or traced(*each))
    gradient_graph(
        lambda x: function(x).sin().flatten(1).sum(1), {"x": torch.randn(1, 1, 7, 7)}, wrt="x"
    )  # which compares with eager mode
    assert len(tracings) == times
