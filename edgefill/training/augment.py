"""What D is shown in place of the pictures themselves, so that it cannot learn few of them by heart.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (https://arxiv.org/abs/2006.10738):
real and generated pictures are changed in the same ways, and G learns through the changes, so that none of
them shows in what G draws.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from edgefill.training.together import batch_of, own

_SHIFT = 1 / 8  # of a side, at most
_CUTOUT = 1 / 2  # of a side


def augmented(pictures: Tensor, random: torch.Generator) -> Tensor:
    """``pictures [N, C, S, S]`` in [-1, 1], each in other colours, shifted, and with a square cut out.

    Differentiable with respect to ``pictures``; the drawn numbers come from ``random``, on the CPU.
    """
    return _cut_out(_shifted(_recoloured(pictures, random), random), random)


def _recoloured(pictures: Tensor, random: torch.Generator) -> Tensor:
    """With another brightness (±0.5), saturation (0 to 2) and contrast (0.5 to 1.5)."""
    brightness, saturation, contrast = (
        own(torch.rand(3, batch_of(pictures), 1, 1, 1, generator=random), 1)
        .to(pictures.device, pictures.dtype)
        .unbind()
    )
    pictures = pictures + (brightness - 0.5)
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * (2 * saturation)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return mean + (pictures - mean) * (0.5 + contrast)


def _shifted(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Moved by up to an eighth of a side in both directions; what comes in from outside is 0, mid-grey."""
    side = pictures.shape[-1]
    most = round(side * _SHIFT)
    offsets = _drawn(2 * most + 1, pictures, random)
    rows, columns = (torch.arange(side, device=pictures.device) + offset for offset in offsets)
    padded = pad(pictures, (most, most, most, most)).permute(0, 2, 3, 1)
    samples = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return padded[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(pictures: Tensor, random: torch.Generator) -> Tensor:
    """With a square of half the side set to 0; its centre may lie anywhere, so that it may be cut off."""
    side = pictures.shape[-1]
    size = round(side * _CUTOUT)
    centres = _drawn(side + 1, pictures, random)
    start = centres - size // 2
    place = torch.arange(side, device=pictures.device)
    rows, columns = ((place >= first) & (place < first + size) for first in start)
    return pictures * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _drawn(below: int, pictures: Tensor, random: torch.Generator) -> Tensor:
    """Two whole numbers from 0 for each of ``pictures``, [2, N, 1]."""
    numbers = torch.randint(0, below, (2, batch_of(pictures), 1), generator=random)
    return own(numbers, 1).to(pictures.device)
