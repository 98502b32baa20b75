"""GLCIC's networks: the layers of the paper, any size, and what is in the hole does not matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgefill.errors import InputError
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork, Discriminators

SMALL = GlcicConfig(channels=3, size=32, filters=4)


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]


def test_the_completion_network_has_the_layers_of_the_paper():
    layers = convolutions(CompletionNetwork(GlcicConfig(channels=3, filters=64)))
    assert [layer.out_channels for layer in layers] == [64, 128, 128, *[256] * 9, 128, 128, 64, 32, 3]
    assert [layer.kernel_size[0] for layer in layers] == [5, *[3] * 11, 4, 3, 4, 3, 3]
    assert [layer.dilation[0] for layer in layers] == [1] * 6 + [2, 4, 8, 16] + [1] * 7
    assert [number for number, layer in enumerate(layers) if layer.stride == (2, 2)] == [1, 3, 12, 14]
    assert layers[0].in_channels == 4
    assert {layer.output_padding for layer in layers} == {(0, 0)}


@pytest.mark.parametrize("size", [64, 128, 256])
def test_each_discriminator_ends_in_1024_numbers_and_both_in_a_logit(size):
    D = Discriminators(GlcicConfig(channels=1, size=size, filters=2)).eval()
    pictures, patches = torch.zeros(2, 1, size, size), torch.zeros(2, 1, size // 2, size // 2)
    assert D.whole(pictures).shape == D.part(patches).shape == (2, 1024)
    assert D(pictures, patches).shape == (2,)
    strides = [layer.stride for layer in convolutions(D.whole)]
    assert strides == [(2, 2)] * (size.bit_length() - 3) and len(convolutions(D.part)) == len(strides) - 1


@pytest.mark.parametrize("size", [(4, 4), (64, 64), (36, 100)])
def test_any_multiple_of_four_goes_in_and_comes_out(size):
    network = CompletionNetwork(SMALL).eval()
    completed = network(torch.zeros(2, 3, *size), torch.ones(2, 1, *size))
    assert completed.shape == (2, 3, *size) and completed.abs().max() <= 1


def test_what_lies_in_the_hole_does_not_matter_and_the_mean_stands_there():
    mean = torch.tensor([0.1, -0.2, 0.3])
    network = CompletionNetwork(SMALL, mean).eval()
    picture, known = torch.rand(1, 3, 32, 32) * 2 - 1, torch.ones(1, 1, 32, 32)
    known[:, :, 8:20, 10:30] = 0
    expected = network(picture, known)
    for content in (torch.nan, 7.0):
        torch.testing.assert_close(network(picture.where(known > 0, content), known), expected)
    filled = picture.where(known > 0, mean.reshape(1, 3, 1, 1))
    torch.testing.assert_close(network.layers(torch.cat([filled, known], 1)), expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"channels": 2}, "1 .grey. or 3"), ({"size": 48}, "32, 64, 128, 256"), ({"filters": 3}, "even number")],
)
def test_a_shape_that_is_none_is_refused(changes, expected):
    with pytest.raises(InputError, match=expected):
        GlcicConfig(**changes)
