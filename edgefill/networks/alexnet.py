"""AlexNet's convolutions and LPIPS, a distance of pictures that follows what people see.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, their 0.1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from edgefill.errors import InputError

CHANNELS = 64, 192, 384, 256, 256
_KERNELS = 11, 5, 3, 3, 3
_STRIDES = 4, 1, 1, 1, 1
_POOLED = 1, 2  # the layers before which the size is halved
_SHIFT = -0.030, -0.088, -0.188  # of the pictures in [-1, 1] with which it was trained
_SCALE = 0.458, 0.448, 0.450
_LITTLE = 1e-10


class AlexNet(nn.Module):
    """What five layers see in pictures ``[N, 3, H, W]`` in [-1, 1], a unit vector at each place."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *CHANNELS)
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs[place], inputs[place + 1], kernel, stride, kernel // 2 if place else 2)
            for place, (kernel, stride) in enumerate(zip(_KERNELS, _STRIDES, strict=True))
        )
        self.importance = nn.ParameterList(torch.zeros(channels) for channels in CHANNELS)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x = (pictures - self.shift) / self.scale
        found = []
        for place, layer in enumerate(self.layers):
            x = f.relu(layer(f.max_pool2d(x, 3, 2) if place in _POOLED else x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _LITTLE))
        return found

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """LPIPS ``[N]`` of two batches of pictures from what is seen in them."""
        parts = [
            ((a - b).float().square() * importance[:, None, None]).sum(1).mean((1, 2))
            for a, b, importance in zip(one, other, self.importance, strict=True)
        ]
        return torch.stack(parts).sum(0)


def load_alexnet(path: Path) -> AlexNet:
    """AlexNet with LPIPS's weights from a .npz of ``conv0.weight`` to ``lin4.weight``. Raises InputError."""
    network = AlexNet()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for place, (layer, importance) in enumerate(zip(network.layers, network.importance, strict=True)):
                for parameter, name in (
                    (layer.weight, f"conv{place}.weight"),
                    (layer.bias, f"conv{place}.bias"),
                    (importance, f"lin{place}.weight"),
                ):
                    parameter.copy_(torch.from_numpy(arrays[name]).reshape(parameter.shape))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"cannot read the perceptual features in {str(path)!r}: {error}; expected a .npz with AlexNet's "
            "conv0.weight to conv4.bias and LPIPS's lin0.weight to lin4.weight"
        ) from error
    return network
