from itertools import pairwise

import pytest
import torch

from edgefill.networks.config import SIZES, NetworkConfig
from edgefill.networks.dcgan import Discriminator, Generator, draw_latents, initialise


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_for_every_size(size, channels):
    config = NetworkConfig(z_dim=5, filters=2, channels=channels, size=size)
    pictures = Generator(config).eval()(torch.zeros(3, 5))
    assert pictures.shape == (3, channels, size, size)
    assert Discriminator(config).eval()(pictures).shape == (3,)


def test_the_first_map_is_four_by_four_with_eight_times_the_filters():
    G = Generator(NetworkConfig(filters=64, channels=3))
    assert G[0].out_features == 4 * 4 * 8 * 64
    kernels = [layer.weight.shape for layer in G if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert kernels == [(512, 256, 5, 5), (256, 128, 5, 5), (128, 64, 5, 5), (64, 3, 5, 5)]


def test_only_layers_before_a_batch_norm_have_no_bias():
    for network in (Generator(NetworkConfig()), Discriminator(NetworkConfig())):
        layers = [layer for layer in network if not isinstance(layer, (torch.nn.Unflatten, torch.nn.Flatten))]
        for layer, following in pairwise(layers):
            if hasattr(layer, "weight") and not isinstance(layer, torch.nn.BatchNorm2d):
                assert (layer.bias is None) == isinstance(following, torch.nn.BatchNorm2d)


def test_weights_are_drawn_from_the_generator_alone():
    def weights(seed):
        torch.rand(seed)  # The global generator must not matter.
        G = Generator(NetworkConfig(filters=16))
        initialise(G, torch.Generator().manual_seed(3))
        return torch.cat([layer.weight.flatten() for layer in G if hasattr(layer, "kernel_size")])

    drawn = weights(1)
    assert torch.equal(drawn, weights(7))
    assert abs(drawn.std() - 0.02) < 2e-4 and abs(drawn.mean()) < 2e-4


def test_latents_fill_the_prior():
    z = draw_latents(1000, 10, torch.Generator().manual_seed(0))
    assert -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    assert abs(z.var() - 1 / 3) < 0.01


def test_torch_fx_traces_both():
    config = NetworkConfig(filters=2, size=16)
    for network in (Generator(config), Discriminator(config)):
        assert len(list(torch.fx.symbolic_trace(network).graph.nodes)) == len(network) + 2
