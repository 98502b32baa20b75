"""The Context Encoder: one size, every pixel from every other, and a matrix for each channel."""

from __future__ import annotations

import pytest
import torch

from edgefill.networks.config import CompletionConfig
from edgefill.networks.context_encoder import ChannelwiseLinear, ContextEncoder, Critic


@pytest.mark.parametrize("size", [32, 128])
def test_the_code_has_sixteen_cells_and_what_lies_in_the_hole_does_not_matter(size):
    network = ContextEncoder(CompletionConfig(channels=3, size=size, filters=2)).eval()
    picture, known = torch.rand(2, 3, size, size) * 2 - 1, torch.ones(2, 1, size, size)
    known[:, :, 8:20, 10:30] = 0
    completed = network(picture, known)
    assert completed.shape == picture.shape and completed.abs().max() <= 1
    assert torch.equal(network(picture.where(known > 0, torch.nan), known), completed)
    code = network.encode(torch.cat([picture, known], 1))
    assert code.shape[2:] == (4, 4)


def test_every_pixel_depends_on_every_other():
    network = ContextEncoder(CompletionConfig(channels=1, size=64, filters=8)).eval()
    picture = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(picture, torch.ones(1, 1, 64, 64))[0, 0, 0, 0].backward()
    assert (picture.grad[0, 0, 32:, 32:] != 0).float().mean() > 0.99


def test_a_channel_is_mixed_by_a_matrix_of_its_own():
    layer, x = ChannelwiseLinear(3, 4), torch.rand(2, 3, 2, 2)
    mixed = layer(x)
    for channel in range(3):
        expected = x[:, channel].flatten(1) @ layer.weight[channel]
        torch.testing.assert_close(mixed[:, channel].flatten(1), expected)


def test_the_critic_gives_a_picture_one_logit():
    D = Critic(CompletionConfig(channels=1, size=32, filters=2))
    assert D(torch.zeros(3, 1, 32, 32), torch.ones(3, 1, 32, 32)).shape == (3,)
