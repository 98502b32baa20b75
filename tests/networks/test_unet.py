"""The U-Net for photographs: it begins as a smooth filling, keeps what is known, takes multiples of 32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgefill.errors import InputError
from edgefill.networks.config import UNetConfig
from edgefill.networks.unet import CompletionUNet, Critic, smooth_filling

SMALL = UNetConfig(channels=3, size=64, filters=4)


def hidden(side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    known = torch.ones(1, 1, side, side)
    known[:, :, 20:44, 10:50] = 0
    return torch.rand(1, 3, side, side, generator=random) * 2 - 1, known


def drawing() -> CompletionUNet:
    """A network whose last layer is no longer zero."""
    network = CompletionUNet(SMALL).eval()
    torch.nn.init.normal_(network.drawn.weight)
    return network


def test_an_untrained_network_returns_the_smooth_filling():
    picture, known = hidden()
    completed = CompletionUNet(SMALL)(picture, known)
    assert torch.equal(completed, torch.where(known > 0, picture, smooth_filling(picture * known, known)[0]))


def test_what_is_known_comes_back_bit_for_bit_and_what_lies_in_the_hole_does_not_matter():
    network, (picture, known) = drawing(), hidden()
    completed = network(picture, known)
    there = (known > 0).expand_as(picture)
    assert torch.equal(completed[there], picture[there]) and not torch.equal(completed, picture)
    for content in (torch.nan, 7.0):
        assert torch.equal(network(picture.where(known > 0, content), known), completed)


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_any_multiple_of_32_goes_in_and_comes_out(size):
    assert drawing()(torch.zeros(2, 3, *size), torch.ones(2, 1, *size)).shape == (2, 3, *size)


def test_the_filling_of_one_colour_is_that_colour():
    """Wherever a known pixel is within reach; the middle of the picture, and all of it but a corner."""
    known = torch.zeros(1, 1, 128, 128)
    known[:, :, :8, :8] = 1
    for seen in (known, 1 - known, hidden(128)[1]):
        filled = smooth_filling(0.3 * seen.expand(1, 3, -1, -1), seen)[0]
        torch.testing.assert_close(filled, torch.full_like(filled, 0.3), atol=1e-3, rtol=0)


def test_the_filling_goes_over_from_one_side_of_a_hole_to_the_other():
    picture = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    known = torch.ones(1, 1, 64, 64)
    known[:, :, :, 24:40] = 0
    filled = smooth_filling(picture * known, known)[0][0, 0, 32].numpy()
    assert (np.diff(filled[23:41]) > 0).all() and np.abs(filled - picture[0, 0, 32].numpy()).max() < 0.15


def test_the_filling_has_no_part_of_what_is_far_away():
    """Nothing beyond 200 pixels stands in it, and what is far from everything known is 0."""
    known = torch.zeros(1, 1, 32, 512)
    known[:, :, :, :4] = 1
    filled, _ = smooth_filling(known, known)
    assert filled[0, 0, 16, 20] > 0.9 and (filled[0, 0, :, 300:] == 0).all()


def test_the_critic_says_something_of_each_layer_where_it_looks():
    seen = [torch.rand(2, 8, 15, 15), torch.rand(2, 12, 7, 7)]
    logits = Critic((8, 12), width=4)(seen, torch.ones(2, 1, 64, 64))
    assert [each.shape for each in logits] == [(2, 1, 15, 15), (2, 1, 7, 7)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"channels": 2}, "1 .grey. or 3"),
        ({"size": 100}, "multiple of 32"),
        ({"size": 32}, "from 64"),
        ({"filters": 0}, "1 to 4,096"),
    ],
)
def test_a_shape_that_is_none_is_refused(changes, expected):
    with pytest.raises(InputError, match=expected):
        UNetConfig(**changes)
