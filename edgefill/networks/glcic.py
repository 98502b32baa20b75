"""GLCIC: a network that fills a hole in one pass, and the two discriminators that it is trained against.

Iizuka, Simo-Serra and Ishikawa, "Globally and Locally Consistent Image Completion", ACM Transactions on
Graphics 36(4), 2017, tables 1 to 3; batch norm before each ReLU, as there.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgefill.networks.config import GlcicConfig

_DILATIONS = (2, 4, 8, 16)
_DOUBLINGS = (1, 2, 4, 8, 8, 8)  # Of a discriminator's channels, in its first layer's, from the picture on.
_BASE = 4  # Height and width of a discriminator's last feature maps.
_OPINION = 1024  # Numbers in which a discriminator puts what it sees.


class CompletionNetwork(nn.Module):
    """A picture ``[N, C, H, W]`` in (-1, 1) from one whose hole is to be filled and what is known of it.

    ``picture [N, C, H, W]`` in [-1, 1] may hold anything where ``known [N, 1, H, W]`` is 0; the network sees
    the colour ``mean [C]`` of the training pictures there. Height and width are multiples of 4.
    """

    mean: Tensor

    def __init__(self, config: GlcicConfig, mean: Tensor | None = None) -> None:
        super().__init__()
        f = config.filters
        colour = torch.zeros(config.channels) if mean is None else mean
        self.register_buffer("mean", colour.reshape(1, -1, 1, 1).float())
        self.layers = nn.Sequential(
            *_convolution(config.channels + 1, f, kernel=5),
            *_convolution(f, 2 * f, stride=2),
            *_convolution(2 * f, 2 * f),
            *_convolution(2 * f, 4 * f, stride=2),
            *_convolution(4 * f, 4 * f),
            *_convolution(4 * f, 4 * f),
            *(layer for dilation in _DILATIONS for layer in _convolution(4 * f, 4 * f, dilation=dilation)),
            *_convolution(4 * f, 4 * f),
            *_convolution(4 * f, 4 * f),
            *_doubling(4 * f, 2 * f),
            *_convolution(2 * f, 2 * f),
            *_doubling(2 * f, f),
            *_convolution(f, f // 2),
            nn.Conv2d(f // 2, config.channels, kernel_size=3, padding=1),
            nn.Tanh(),
        )

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        seen = torch.where(known > 0, picture, self.mean)
        return self.layers(torch.cat([seen, known], 1))


class Discriminators(nn.Module):
    """The logit ``[N]`` of "this is a real picture", from all of it and from the part around the hole.

    ``pictures [N, C, S, S]`` and ``patches [N, C, S/2, S/2]`` in [-1, 1].
    """

    def __init__(self, config: GlcicConfig) -> None:
        super().__init__()
        self.whole = _opinion(config.channels, config.filters, config.size)
        self.part = _opinion(config.channels, config.filters, config.size // 2)
        self.verdict = nn.Linear(2 * _OPINION, 1)

    def forward(self, pictures: Tensor, patches: Tensor) -> Tensor:
        opinions = torch.cat([self.whole(pictures), self.part(patches)], 1)
        return self.verdict(opinions).flatten(0)


def _convolution(
    inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the size but for its stride, its batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
    """The paper's convolution of stride 1/2, which TensorRT takes: 4×4 needs no output_padding."""
    return [
        nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _opinion(channels: int, filters: int, size: int) -> nn.Sequential:
    """What one discriminator thinks, ``[N, 1024]``, of pictures of ``size``."""
    depth = (size // _BASE).bit_length() - 1
    widths = [channels, *(filters * doubling for doubling in _DOUBLINGS[:depth])]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += _convolution(inputs, outputs, kernel=5, stride=2)
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(widths[-1] * _BASE**2, _OPINION), nn.ReLU(inplace=True)
    )
