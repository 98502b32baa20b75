"""The DCGAN of the source documents: G maps a latent to a picture, D tells generated pictures from real ones.

Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (https://arxiv.org/abs/1511.06434), with the 5×5 kernels of its first implementation.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgefill.networks.config import NetworkConfig

_BASE = 4  # Height and width of G's first and D's last feature maps.


class Generator(nn.Sequential):
    """Pictures ``[N, C, S, S]`` in (-1, 1) from latents ``z [N, Z]`` in [-1, 1].

    A plain sequence of layers; those before a batch norm have no bias, which it would take away again.
    """

    def __init__(self, config: NetworkConfig) -> None:
        widths = config.widths[::-1]
        layers: list[nn.Module] = [
            nn.Linear(config.z_dim, widths[0] * _BASE**2, bias=False),
            nn.Unflatten(1, (widths[0], _BASE, _BASE)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wide, narrow in pairwise(widths):
            layers += [_doubling(wide, narrow, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)]
        super().__init__(*layers, _doubling(widths[-1], config.channels), nn.Tanh())


class Discriminator(nn.Sequential):
    """The logit ``[N]`` of "this is a real picture" from pictures ``[N, C, S, S]`` in [-1, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        widths = config.widths
        layers: list[nn.Module] = [_halving(config.channels, widths[0]), nn.LeakyReLU(0.2, inplace=True)]
        for narrow, wide in pairwise(widths):
            layers += [
                _halving(narrow, wide, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * _BASE**2, 1), nn.Flatten(0))


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draws every weight from N(0, 0.02); biases are 0 and batch norms begin as the identity."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.02, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def draw_latents(count: int, z_dim: int, random: torch.Generator) -> Tensor:
    """Latents ``[count, z_dim]`` from the prior, uniform on [-1, 1], on the CPU."""
    return torch.rand(count, z_dim, generator=random) * 2 - 1


def _halving(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=5, stride=2, padding=2, bias=bias)


def _doubling(inputs: int, outputs: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        inputs, outputs, kernel_size=5, stride=2, padding=2, output_padding=1, bias=bias
    )
