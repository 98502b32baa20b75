"""A U-Net that fills a hole in one pass, for photographs: what it draws is added to a smooth filling.

The filling is made within the network, of standard operators without weights: means of what is known over
squares that double, from the widest to the finest (pull and push), each smoothed once. An untrained network
returns it. What is drawn on top of it is computed at a half to a 32nd of the size, where it is cheap to see
far and to be wide.

A network of convolutions alone, in the middle of a wide hole, draws one tile over and over. What breaks it is
grain: the brightness of the picture without its smooth part, carried into the hole from beside. The network
sees it, and says how much of it to add.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from edgefill.networks.config import UNetConfig

TILES = 16, 32  # pixels of a cell of the coarsest feature maps
_HALVINGS = 5  # of the smooth filling
_SPREADS = 3  # of its coarsest level, into what it does not reach
_DILATIONS = 1, 2, 4  # of the residual blocks at a sixteenth
_DILATIONS_BELOW = 1, 1, 2, 1  # and of those at a 32nd
_COARSE = 3  # The halvings behind which nothing counts as grain.
_CARRIED = 24, 48, 96  # pixels, one after the other
_LITTLE = 1e-4  # of a weight: nothing is known


class CompletionUNet(nn.Module):
    """A picture ``[N, C, H, W]`` from one whose hole is to be filled and what is known of it.

    ``picture [N, C, H, W]`` in [-1, 1] may hold anything where ``known [N, 1, H, W]`` is 0; where it is 1 the
    picture comes back as it is. Height and width are multiples of 32.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, below = config.widths
        seen = config.channels + 2  # the picture, its grain and what is known of it
        self.into_half = nn.Sequential(_convolution(seen, half, 6, stride=2), nn.ReLU(inplace=True))
        self.into_quarter = nn.Sequential(_convolution(half, quarter, stride=2), Residual(quarter))
        self.into_eighth = nn.Sequential(_convolution(quarter, eighth, stride=2), Residual(eighth))
        self.into_sixteenth = nn.Sequential(
            _convolution(eighth, sixteenth, stride=2),
            *(Residual(sixteenth, dilation) for dilation in _DILATIONS),
        )
        self.into_32nd = nn.Sequential(
            _convolution(sixteenth, below, stride=2),
            *(Residual(below, dilation) for dilation in _DILATIONS_BELOW),
        )
        self.to_sixteenth = _doubling(below, sixteenth)
        self.to_eighth, self.at_eighth = _doubling(sixteenth, eighth), Residual(eighth)
        self.to_quarter, self.at_quarter = _doubling(eighth, quarter), Residual(quarter)
        self.to_half, self.at_half = _doubling(quarter, half), Residual(half)
        self.drawn = _convolution(half, 4 * (config.channels + 1))
        nn.init.zeros_(self.drawn.weight)

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        picture = torch.where(known > 0, picture, torch.zeros_like(picture))
        smooth, coarse = smooth_filling(picture, known)
        grain = carried_grain(picture, known, coarse)
        half = self.into_half(torch.cat([smooth, grain, known], 1))
        quarter = self.into_quarter(half)
        eighth = self.into_eighth(quarter)
        sixteenth = self.into_sixteenth(eighth)
        x = self.to_sixteenth(self.into_32nd(sixteenth)) + sixteenth
        x = self.to_eighth(x) + eighth
        x = self.to_quarter(self.at_eighth(x)) + quarter
        x = self.to_half(self.at_quarter(x)) + half
        drawn = f.pixel_shuffle(self.drawn(self.at_half(x)), 2)
        plain, share = drawn[:, :-1], drawn[:, -1:]
        return torch.where(known > 0, picture, smooth + plain + share * grain)


class Residual(nn.Module):
    """``x`` and what two convolutions add to it; without batch norm, begun near the identity."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, dilation=dilation)
        self.second = _convolution(channels, channels)
        with torch.no_grad():
            self.second.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(f.relu(self.first(f.relu(x))))


def smooth_filling(picture: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``picture [N, C, H, W]``, which is 0 in its holes, with the smooth surroundings of each hole in it; and
    its means over 8×8 pixels so filled, of the size of the picture.

    Its values come from at most some 200 pixels away; where nothing is known so near, it stays 0.
    """
    values, weight = picture, known
    levels = []
    for _ in range(_HALVINGS):
        levels.append((values, weight))
        values, weight = _halved(values), _halved(weight)
        share = weight.clamp(min=_LITTLE)
        weight = (4 * weight).clamp(max=1)  # A quarter of what a cell sees is enough.
        values = values / share * weight  # the mean of what is known, as far as it is trusted
    for _ in range(_SPREADS):
        values, weight = _spread(values, weight)
    filled = coarse = values / weight.clamp(min=_LITTLE)
    for halvings, (values, weight) in reversed(list(enumerate(levels))):
        filled = values + (1 - weight) * _doubled(filled)
        filled = values + (1 - weight) * f.avg_pool2d(filled, 3, 1, 1, count_include_pad=False)
        coarse = filled if halvings == _COARSE else _doubled(coarse)
    return filled, coarse


def carried_grain(picture: Tensor, known: Tensor, coarse: Tensor) -> Tensor:
    """How much brighter the ``picture`` is than its ``coarse`` means, ``[N, 1, H, W]``.

    In its holes what is so beside them: 24 pixels to the left, else right, above or below; what is still
    missing then, 48 pixels; at last 96.
    """
    grain = (picture - coarse).mean(1, keepdim=True) * known
    for far in _CARRIED:
        height, width = grain.shape[2:]
        around = f.pad(grain, (far, far, far, far))
        for top, left in ((far, 0), (far, 2 * far), (0, far), (2 * far, far)):
            beside = around[:, :, top : top + height, left : left + width]
            grain = torch.where(grain == 0, beside, grain)
    return grain


def _halved(values: Tensor) -> Tensor:
    return f.avg_pool2d(values, 4, 2, 1)


def _doubled(values: Tensor) -> Tensor:
    return f.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)


def _spread(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Fills the part of each cell that has no weight with the mean of those around it."""
    around, mass = f.avg_pool2d(values, 3, 1, 1), f.avg_pool2d(weight, 3, 1, 1)
    grown = (4 * mass).clamp(max=1)
    values = values + (1 - weight) * (around / mass.clamp(min=_LITTLE)) * grown
    return values, weight + (1 - weight) * grown


def _convolution(
    inputs: int, outputs: int, side: int = 3, *, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, side, stride, (side - 1) // 2 * dilation, dilation)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    """Four outputs for each cell, put into a square of 2×2."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2))


class Critic(nn.Module):
    """How real each place of a picture looks, from what a trained network sees in it.

    Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021: one small network for each layer.
    """

    def __init__(self, channels: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(seen + 1, width, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, 1, 1),
            )
            for seen in channels
        )

    def forward(self, features: list[Tensor], hole: Tensor) -> list[Tensor]:
        """Logits ``[N, 1, h, w]`` for each of ``features [N, c, h, w]``; ``hole [N, 1, H, W]`` is 1 where
        something was drawn."""
        return [
            head(torch.cat([seen * seen.shape[1] ** 0.5, f.adaptive_avg_pool2d(hole, seen.shape[2:])], 1))
            for head, seen in zip(self.heads, features, strict=False)
        ]
