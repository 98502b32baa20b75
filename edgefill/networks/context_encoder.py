"""The Context Encoder: a picture goes through a small code, out of which the whole of it is drawn again.

Pathak et al., "Context Encoders: Feature Learning by Inpainting" (https://arxiv.org/abs/1604.07379). Halving
convolutions lead to 4×4 cells; each channel of these is mixed over all cells by a matrix of its own, so that
every pixel depends on every other; doubling ones lead back. That matrix fits one size of pictures. Unlike the
paper's, the network is also told what is known.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgefill.networks.config import CompletionConfig, NetworkConfig
from edgefill.networks.dcgan import Discriminator

_BASE = 4  # cells of a side of the code
_WIDEST = 8  # In filters.


class ContextEncoder(nn.Module):
    """A picture ``[N, C, S, S]`` in (-1, 1) from one whose hole is to be filled and what is known of it.

    ``picture`` in [-1, 1] may hold anything where ``known [N, 1, S, S]`` is 0: it counts as mid-grey.
    """

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        depth = (config.size // _BASE).bit_length() - 1
        widths = [config.filters * min(2**layer, _WIDEST) for layer in range(depth)]
        self.encode = nn.Sequential(
            *_halving(config.channels + 1, widths[0], norm=False),
            *(layer for narrow, wide in pairwise(widths) for layer in _halving(narrow, wide)),
        )
        self.mixed = ChannelwiseLinear(widths[-1], _BASE**2)
        self.decode = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 1, bias=False),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
            *(layer for wide, narrow in pairwise(widths[::-1]) for layer in _doubling(wide, narrow)),
            nn.ConvTranspose2d(widths[0], config.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        seen = torch.where(known > 0, picture, torch.zeros_like(picture))
        return self.decode(self.mixed(self.encode(torch.cat([seen, known], 1))))


class ChannelwiseLinear(nn.Module):
    """``[N, C, h, w]`` to the same: the ``cells`` of each channel times a matrix of that channel."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, cells, cells) * (2 / cells) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        # channels first, as one matrix product for each of them takes all pictures
        mixed = x.flatten(2).transpose(0, 1) @ self.weight
        return mixed.transpose(0, 1).reshape(x.shape)


class Critic(nn.Module):
    """The logit ``[N]`` of "this is a real picture": a DCGAN's discriminator, which looks at all of it."""

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        shape = NetworkConfig(filters=config.filters, channels=config.channels, size=config.size)
        self.layers = Discriminator(shape)

    def forward(self, pictures: Tensor, known: Tensor) -> Tensor:
        return self.layers(pictures)


def _halving(inputs: int, outputs: int, *, norm: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norm)]
    return [*layers, *([nn.BatchNorm2d(outputs)] if norm else []), nn.LeakyReLU(0.2, inplace=True)]


def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
