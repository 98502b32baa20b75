"""The encoder: a first z for the search, from what is known of a picture.

It replaces the random start of Yeh et al. 2017 (https://arxiv.org/abs/1607.07539); the idea of a network that
inverts G is that of Zhu et al. 2016, "Generative Visual Manipulation on the Natural Image Manifold", section
4.1 (https://arxiv.org/abs/1609.03552), here with the mask as a further channel.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgefill.networks.config import NetworkConfig

_BASE = 4  # Height and width of the last feature maps.
_WIDEST = 4  # In widths.
_HIDDEN = 224


class Encoder(nn.Module):
    """z ``[N, Z]`` in (-1, 1) from what is seen of pictures ``[N, C, S, S]`` and how much ``[N, 1, S, S]``.

    Both are as ``edgefill.pictures.evidence.Evidence.seen`` has them.
    """

    def __init__(self, config: NetworkConfig, width: int) -> None:
        super().__init__()
        depth = len(config.widths)
        widths = [config.channels + 1, *(width * min(2**layer, _WIDEST) for layer in range(depth))]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.SiLU(inplace=True),
            ]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.latent = nn.Sequential(
            nn.Linear(widths[-1] * _BASE**2, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, config.z_dim), nn.Tanh()
        )

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        return self.latent(self.features(torch.cat([picture, known], 1)))
