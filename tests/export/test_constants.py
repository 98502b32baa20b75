"""What code asks of constants while it is traced is answered; what it asks of the data is not."""

from __future__ import annotations

import pytest
import torch

from edgefill.errors import ModelError
from edgefill.export import gradient_graph


class Flags(torch.nn.Module):
    """Asks its buffers for flags, numbers, masks and counts, as quantised and vector-quantised modules do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("started", torch.tensor([True]))
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("kept", torch.tensor([True, False, True, False]))

    def forward(self, x):
        if not self.started or torch.equal(self.kept, ~self.kept):
            return x
        y = x * self.scale.item() * int(self.kept.sum()) * self.kept.nonzero().shape[0]
        y[:, self.kept] = x[:, ~self.kept] * 3
        return y


def test_flags_numbers_and_masks_in_buffers_are_known():
    network = Flags()
    gradient_graph(lambda x: network(x).square().sum(1), {"x": torch.randn(1, 4)}, wrt="x")


def test_constant_that_was_written_into_is_none():
    def objective(x):
        total = torch.zeros(1)
        total += x.mean()
        return x.square().sum(1) if total > 0 else x.sum(1)

    with pytest.raises(ModelError, match=r"branches on values.*total > 0"):
        gradient_graph(objective, {"x": torch.zeros(1, 4)}, wrt="x")


def test_numbers_from_a_generator_that_is_seeded_each_time_are_constants():
    kept = torch.Generator().manual_seed(0)

    def objective(x, generator):
        return (x + torch.randn(1, 4, generator=generator)).square().sum(1)

    gradient_graph(lambda x: objective(x, torch.Generator().manual_seed(7)), {"x": torch.ones(1, 4)}, wrt="x")
    with pytest.raises(ModelError, match="each time that it is called"):
        gradient_graph(lambda x: objective(x, kept), {"x": torch.ones(1, 4)}, wrt="x")
