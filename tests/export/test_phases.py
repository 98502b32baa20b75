"""Transposed convolutions as plain ones: the same numbers, whichever form they take."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgefill.export.modules import prepared
from edgefill.export.phases import FourConvolutions, Interleave, as_convolutions, in_phases
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork


def network() -> nn.Module:
    torch.manual_seed(0)
    module = CompletionNetwork(GlcicConfig(channels=3, filters=4), torch.tensor([0.3, -0.2, 0.1])).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return prepared(module, "the network")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 6)])
def test_four_convolutions_are_a_transposed_one(size, bias):
    torch.manual_seed(1)
    layer = nn.ConvTranspose2d(3, 5, 4, 2, 1, bias=bias).eval()
    picture = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(FourConvolutions(layer)(picture), layer(picture))


def test_interleaving_puts_each_phase_in_its_place():
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    picture = torch.stack([rows * 10 + columns, -rows * 10 - columns])[None].float()
    phases = torch.cat([picture[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)], 1)
    torch.testing.assert_close(Interleave()(phases), picture)


@pytest.mark.parametrize("form", [as_convolutions, in_phases])
@pytest.mark.parametrize("size", [(16, 16), (4, 20)])
def test_a_completion_network_gives_the_same_in_every_form(form, size):
    module = network()
    changed = form(copy.deepcopy(module))
    assert not [layer for layer in changed.modules() if isinstance(layer, nn.ConvTranspose2d)]
    picture, known = torch.rand(2, 3, *size) * 2 - 1, (torch.rand(2, 1, *size) < 0.6).float()
    with torch.no_grad():
        torch.testing.assert_close(changed(picture, known), module(picture, known), atol=1e-6, rtol=1e-5)


def test_the_tail_stays_at_half_the_size():
    convolutions = [layer for layer in in_phases(network()).modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions[-4:]] == [8, 16, 8, 12]


def test_what_follows_but_cannot_be_computed_on_phases_sees_the_whole_picture():
    torch.manual_seed(2)
    module = prepared(
        nn.Sequential(nn.ConvTranspose2d(3, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2)), "it"
    )
    picture = torch.randn(1, 3, 6, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            in_phases(copy.deepcopy(module))(picture), module(picture), atol=1e-6, rtol=1e-5
        )


class Twice(nn.Module):
    """Its layers serve at more than one place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.up, self.even, self.relu = (
            nn.ConvTranspose2d(4, 4, 4, 2, 1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, picture):
        early = self.relu(self.even(picture))
        return self.relu(self.up(early)) + self.even(self.relu(self.up(picture))) + self.up(picture)


@pytest.mark.parametrize("form", [as_convolutions, in_phases])
def test_layers_that_serve_twice_stay_what_they_are(form):
    module = prepared(Twice().eval(), "it")
    picture = torch.randn(2, 4, 6, 8)
    with torch.no_grad():
        expected = module(picture)
        torch.testing.assert_close(form(copy.deepcopy(module))(picture), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1),
        nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(3, 4, 2, 2),
    ],
)
def test_other_transposed_convolutions_stay_as_they_are(layer):
    module = nn.Sequential(layer)
    for form in (as_convolutions, in_phases):
        assert form(copy.deepcopy(module))[0].weight.shape == layer.weight.shape
