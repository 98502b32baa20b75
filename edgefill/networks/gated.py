"""Gated convolutions and contextual attention: what is missing is drawn, and taken from what is alike.

Yu et al., "Free-Form Image Inpainting with Gated Convolution" (https://arxiv.org/abs/1806.03589), its coarse
network; and the attention of Yu et al., "Generative Image Inpainting with Contextual Attention"
(https://arxiv.org/abs/1801.07892) as a second branch at a quarter of the size, where the papers have it in a
second network. Every convolution says for each place and channel how much of what it draws counts, so that
the network learns by itself what a hole is. The critic is the paper's: logits of patches, spectral norms.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as f
from torch.nn.utils.parametrizations import spectral_norm

from edgefill.networks.config import CompletionConfig

_DILATIONS = 2, 4, 8, 16
_BLOCK = 2  # cells of a side that attention takes at a time
_SHARPNESS = 10.0  # of the softmax over likenesses, which are cosines
_NEVER = 1e4  # taken from the likeness to what is missing; fp16 holds it
_LITTLE = 1e-4  # of a length
_DOUBLINGS = 1, 2, 4, 4, 4  # of the critic's channels


class GatedNetwork(nn.Module):
    """A picture ``[N, C, H, W]`` in (-1, 1) from one whose hole is to be filled and what is known of it.

    ``picture`` in [-1, 1] may hold anything where ``known [N, 1, H, W]`` is 0. Height and width are multiples
    of 8; it sees the whole picture.
    """

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        narrow = config.filters
        middle, wide = 2 * narrow, 4 * narrow
        self.encode = nn.Sequential(
            Gated(config.channels + 1, narrow, kernel=5),
            Gated(narrow, middle, stride=2),
            Gated(middle, middle),
            Gated(middle, wide, stride=2),
            Gated(wide, wide),
        )
        self.imagine = nn.Sequential(*(Gated(wide, wide, dilation=dilation) for dilation in _DILATIONS))
        self.attend = ContextualAttention(wide)
        self.recall = Gated(wide, wide)
        self.decode = nn.Sequential(
            Gated(2 * wide, wide),
            nn.Upsample(scale_factor=2.0),
            Gated(wide, middle),
            Gated(middle, middle),
            nn.Upsample(scale_factor=2.0),
            Gated(middle, narrow),
            nn.Conv2d(narrow, config.channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        seen = torch.where(known > 0, picture, torch.zeros_like(picture))
        features = self.encode(torch.cat([seen, known], 1))
        recalled = self.recall(self.attend(features, known))
        return self.decode(torch.cat([self.imagine(features), recalled], 1))


class Gated(nn.Module):
    """What one convolution draws, as far as another one lets it through."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.both = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding, dilation)

    def forward(self, x: Tensor) -> Tensor:
        drawn, gate = self.both(x).chunk(2, 1)
        return f.elu(drawn) * gate.sigmoid()


class ContextualAttention(nn.Module):
    """``features [N, C, h, w]``, each block of 2×2 the mean of those that are known, by their likeness.

    Alike are blocks that have the same in and around them: the cosine between the means of 3×3 blocks. One
    is known where all of ``known [N, 1, 4h, 4w]`` is, under it.
    """

    neighbours: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        cells = torch.eye(9).reshape(9, 1, 3, 3).repeat(channels, 1, 1, 1)  # as kernels: each picks a cell
        self.register_buffer("neighbours", cells, persistent=False)

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        means = f.avg_pool2d(features, _BLOCK)
        keys = f.conv2d(means, self.neighbours, padding=1, groups=means.shape[1]).flatten(2)
        keys = keys / (keys.square().sum(1, keepdim=True) + _LITTLE).sqrt()
        missing = f.max_pool2d(1 - known, 4 * _BLOCK).flatten(2)
        likeness = _SHARPNESS * (keys.transpose(1, 2) @ keys) - _NEVER * missing
        values = f.pixel_unshuffle(features, _BLOCK)
        mixed = values.flatten(2) @ likeness.softmax(2).transpose(1, 2)
        return f.pixel_shuffle(mixed.reshape(values.shape), _BLOCK)


class PatchCritic(nn.Module):
    """Logits ``[N, c, h, w]``, each of a patch of pictures, of which ``known [N, 1, H, W]`` is not drawn."""

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        widths = [config.channels + 1, *(config.filters * doubling for doubling in _DOUBLINGS)]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 5, 2, 2)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, pictures: Tensor, known: Tensor) -> Tensor:
        return self.layers(torch.cat([pictures, known], 1))
