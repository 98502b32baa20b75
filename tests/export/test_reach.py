"""How far a network sees and which sizes it takes, against what its layers say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgefill.export.inpainter import Inpainter
from edgefill.export.reach import measured_reach
from edgefill.export.sizes import measured_sizes
from edgefill.model.interface import Interface, Sizes
from edgefill.model.manifest import completion_interface
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork
from tests.export.foreign_completion import NETWORKS, Beside, UNet, conv


def called(network: nn.Module, side: int = 64) -> Inpainter:
    return Inpainter(network.eval(), completion_interface(3, trained_side=side, sizes=Sizes(), reach=None))


def measured(network: nn.Module, side: int = 64) -> tuple[int | None, Sizes]:
    inpainter = called(network, side)
    return measured_reach(inpainter, measured_sizes(inpainter, side), side)


def glcic() -> nn.Module:
    return CompletionNetwork(GlcicConfig(channels=3, filters=4))


def test_the_papers_network_sees_156_pixels_in_multiples_of_4():
    assert measured(glcic()) == (156, Sizes(multiple=4, smallest=4))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
def test_any_depth_of_halvings_is_a_multiple_of_its_own(depth):
    reach, sizes = measured(UNet(depth))
    assert sizes == Sizes(multiple=2**depth, smallest=2**depth)
    assert reach == by_gradient(UNet(depth), 2**depth)


@pytest.mark.parametrize("network", [glcic, lambda: UNet(3, "bilinear"), lambda: UNet(2, sized=True)])
def test_the_reach_is_that_of_the_gradient_where_no_path_is_dead(network):
    reach, sizes = measured(network())
    assert reach == by_gradient(network(), sizes.multiple)


def by_gradient(network: nn.Module, multiple: int) -> int:
    """Of a network whose every weight is positive, so that every unit is alive and no two paths cancel."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        is_mean = "running_mean" in name or "bias" in name
        tensor.data = torch.zeros_like(tensor) if is_mean else torch.ones_like(tensor) * 1e-2
    length = 1024
    picture = torch.ones(1, 3, multiple, length, dtype=torch.float64, requires_grad=True)
    known = torch.ones(1, 1, multiple, length, dtype=torch.float64)
    drawn = network.double().eval()(picture, known)
    farthest = 0
    for place in range(512, 512 + multiple):
        (gradient,) = torch.autograd.grad(drawn[..., place].sum(), picture, retain_graph=True)
        there = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        farthest = max(farthest, place - int(there[0]), int(there[-1]) - place)
    return -(-farthest // multiple) * multiple


@pytest.mark.parametrize("place", range(5))
def test_what_a_dead_unit_hides_is_seen(place):
    """ReLUs that are off everywhere, and a path that is too weak for any rounding."""
    layers = [conv(4, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), conv(4, 3)]
    with torch.no_grad():
        if place % 2 == 0:
            layers[place].weight.mul_(1e-30)
        else:
            layers[place - 1].bias.fill_(-1e9)
    assert measured(Beside(*layers))[0] == 3


LOCAL = [name for name, foreign in NETWORKS.items() if foreign.reach is not None]


@pytest.mark.parametrize("name", LOCAL)
def test_a_tile_with_its_reach_around_it_is_what_the_whole_picture_gives(name):
    foreign = NETWORKS[name]
    network, unit, reach = foreign.build(), foreign.multiple, foreign.reach
    interface = foreign.options.get("interface")
    inpainter = replace(called(network), interface=interface) if interface else called(network)
    height, width = 2 * reach + 8 * unit, 2 * reach + 12 * unit
    random = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, height, width, generator=random) * 2 - 1
    known = (torch.rand(1, 1, height, width, generator=random) < 0.5).float()
    whole = inpainter(picture, known)
    rows, columns = slice(unit, None), slice(2 * unit, width - unit)  # up to a border, and not
    tile = inpainter(picture[..., rows, columns], known[..., rows, columns])
    deep = slice(reach, None), slice(reach, -reach)
    expected = whole[..., rows, columns][..., deep[0], deep[1]]
    torch.testing.assert_close(tile[..., deep[0], deep[1]], expected, atol=1e-4, rtol=1e-5)
    assert expected.shape[2:] == (reach + 7 * unit, 9 * unit)


class Shifted(nn.Module):
    """Draws by where in the picture it is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = conv(4, 3)

    def forward(self, picture, known):
        drawn = self.layer(torch.cat([picture, known], 1))
        return drawn * torch.linspace(0, 1, picture.shape[3])


def test_a_network_that_draws_by_the_place_sees_the_whole_picture():
    assert measured(Shifted()) == (None, Sizes())


class Dices(nn.Module):
    def forward(self, picture, known):
        return picture * known + torch.rand_like(picture)


def test_of_a_network_that_is_not_the_same_twice_the_whole_picture_is_seen():
    assert measured(Dices())[0] is None


class Hides(nn.Module):
    """Lets no NaN through, from a mean of the whole picture."""

    def forward(self, picture, known):
        mean = (picture * known).mean((2, 3), keepdim=True).nan_to_num()
        return torch.where(known > 0, picture, mean)


def test_a_mean_that_hides_what_is_not_a_number_is_found():
    assert measured(Hides())[0] is None


@pytest.mark.parametrize("name", ["bytes", "joined, as MI-GAN"])
def test_a_network_is_measured_as_its_interface_calls_it(name):
    interface: Interface = NETWORKS[name].options["interface"]
    inpainter = Inpainter(NETWORKS[name].build(), replace(interface, trained_side=32))
    assert measured_sizes(inpainter, 32) == Sizes()
    assert measured_reach(inpainter, Sizes(), 32)[0] == NETWORKS[name].reach
