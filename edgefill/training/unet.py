"""The training of a U-Net that completes photographs: towards the picture, what is seen in it, and the real.

In the first phase it learns the root mean square difference in the hole, and LPIPS; in the second a critic,
which looks at the same features, has a say. What is drawn is not to repeat itself. Where there is a teacher,
LPIPS and most of the difference are those to what it draws.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from edgefill.errors import InputError
from edgefill.networks.alexnet import CHANNELS, AlexNet, load_alexnet
from edgefill.networks.unet import TILES, CompletionUNet, Critic, smooth_filling
from edgefill.training.completing import CompletionTrainer
from edgefill.training.config import UNetTraining
from edgefill.training.data import Pictures
from edgefill.training.losses import hinges
from edgefill.training.painting import painted_hole
from edgefill.training.teacher import Teacher
from edgefill.training.together import count, mean
from edgefill.training.trainer import descend

_POOL = 2048  # holes, drawn once
_JUDGED = 3  # of AlexNet's layers, by the critic
_CELL = 4  # pixels between two places of AlexNet's first layer: what it looks at is moved by up to as many
_DUST = 1e-6  # of a square: the root's slope ends there
_SPECK = 1e-3  # of a picture: less, or nothing where a crop missed the hole, counts as that
_SMALL = 0.05  # of a picture: smaller holes count as if they were as large


class UNetTrainer(CompletionTrainer):
    """C learns the hole's root mean square difference and LPIPS; then D, a critic, has its say too."""

    betas = 0.9, 0.99

    def __init__(self, config: UNetTraining, pictures: Pictures, device: torch.device) -> None:
        self._alexnet = _features(config).to(device, memory_format=torch.channels_last)
        channels = config.network.channels
        self._teacher = Teacher(config.teacher, channels, device) if config.teacher else None
        super().__init__(config, pictures, device)
        rng = np.random.default_rng(config.seed)
        self._holes = np.stack([painted_hole(config.joint_crop, rng) for _ in range(_POOL)])

    def _made(self, pictures: Pictures) -> tuple[nn.Module, nn.Module]:
        return CompletionUNet(self.config.network), Critic(CHANNELS[:_JUDGED])

    def _examples(self, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        side = self.config.joint_crop if self._judges else self.config.crop
        return _crops(real, side, rng), self._known(len(real), side, rng)

    def _seen(self, pictures: Tensor, known: Tensor) -> Tensor:
        return smooth_filling(pictures * known, known)[0]

    def _known(self, count: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """What is known ``[N, 1, side, side]``: holes of the pool, cut, mirrored and turned."""
        cut = []
        for hole in self._holes[rng.integers(_POOL, size=count)]:
            top, left = rng.integers(hole.shape[0] - side + 1, size=2)
            turned = np.rot90(hole[top : top + side, left : left + side], int(rng.integers(4)))
            cut.append(turned[:, :: 1 if rng.random() < 0.5 else -1])
        return (~np.stack(cut)[:, None]).astype(np.float32)

    def _update(self, pictures: Tensor, known: Tensor, rng: np.random.Generator) -> dict[str, float]:
        down, right = rng.integers(_CELL, size=2)
        taught = self._teacher.completed(pictures, known) if self._teacher else pictures
        with self._autocast():
            completed = self.C(pictures, known).float()
            moved = [each[:, :, down:, right:] for each in (pictures, taught, completed)]
            with torch.no_grad():
                real = self._alexnet(moved[0])
                wanted = self._alexnet(moved[1]) if self._teacher else real
            drawn = self._alexnet(moved[2])
        hole = 1 - known
        share = hole.mean((1, 2, 3))
        difference = _root_mean_square(completed - pictures, share)
        if self._teacher:
            difference = difference.lerp(_root_mean_square(completed - taught, share), self.config.teaching)
        seen = (self._alexnet.distance(wanted, drawn) / share.clamp(min=_SMALL)).mean()
        repeated = _repetition(completed, pictures, hole)
        loss = difference + self.config.perceptual * seen + self.config.repetition * repeated
        losses = {"RMS": difference.item(), "LPIPS": seen.item(), "repetition": repeated.item()}
        if self._judges:
            there = hole[:, :, down:, right:]
            losses["D"] = self._update_critic(real, [each.detach() for each in drawn], there)
            verdict = [_within(each.float(), there) for each in self._opinion(drawn, there)]
            loss = loss - self.config.adversarial * torch.stack(verdict).mean()
        descend(self.optimisers["C"], loss)
        return losses

    def _update_critic(self, real: list[Tensor], drawn: list[Tensor], hole: Tensor) -> float:
        with self._autocast():
            of_real, of_drawn = self.D(real, hole), self.D(drawn, hole)
        wrong = [
            _within(hinges(one.float(), other.float()), hole)
            for one, other in zip(of_real, of_drawn, strict=True)
        ]
        return descend(self.optimisers["D"], torch.stack(wrong).mean())


def _features(config: UNetTraining) -> AlexNet:
    if not config.features:
        raise InputError(
            "a unet is trained with AlexNet's features, as LPIPS has them; name their .npz with --features"
        )
    return load_alexnet(Path(config.features))


def _root_mean_square(difference: Tensor, share: Tensor) -> Tensor:
    """The mean over the pictures of that of ``difference [N, C, H, W]``, in holes that are ``share [N]``."""
    squares = difference.square().mean((1, 2, 3)) / share.clamp(min=_SPECK)
    return (squares + _DUST).sqrt().mean()


def _crops(pictures: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of each of ``pictures [N, C, S, S]``, anywhere in it."""
    begins = rng.integers(pictures.shape[2] - side + 1, size=(len(pictures), 2))
    return np.stack(
        [each[:, row : row + side, column : column + side]
         for each, (row, column) in zip(pictures, begins, strict=True)]
    )  # fmt: skip


def _repetition(completed: Tensor, pictures: Tensor, hole: Tensor) -> Tensor:
    """How much more alike than in ``pictures`` the fine structure of ``completed`` is one tile further.

    A network that sees nothing but a smooth filling draws the same in every cell of its coarsest maps, and
    LPIPS likes that better than nothing. The correlation is of the ``hole`` alone, mean over two directions
    and the tiles of both maps.
    """
    fine = [_fine(each.mean(1, keepdim=True)) * hole for each in (completed, pictures)]
    more = []
    for tile, axis in itertools.product(TILES, (2, 3)):
        drawn, real = (_correlation(each, hole, tile, axis) for each in fine)
        more.append(f.relu(drawn - real.clamp(min=0)))
    return torch.stack(more).mean()


def _fine(values: Tensor) -> Tensor:
    return values - f.avg_pool2d(values, 9, 1, 4, count_include_pad=False)


def _correlation(fine: Tensor, hole: Tensor, tile: int, axis: int) -> Tensor:
    """``[N]``, of ``fine [N, 1, H, W]`` and itself one ``tile`` further on ``axis``, both in the ``hole``."""
    side = fine.shape[axis] - tile
    both = hole.narrow(axis, 0, side) * hole.narrow(axis, tile, side)
    one, other = (fine.narrow(axis, start, side) * both for start in (0, tile))
    powers = [each.square().sum((1, 2, 3)) + _DUST for each in (one, other)]
    return (one * other).sum((1, 2, 3)) / (powers[0] * powers[1]).sqrt()


def _within(values: Tensor, hole: Tensor) -> Tensor:
    """The mean of ``values [N, 1, h, w]`` over the places that see something of ``hole [N, 1, H, W]``."""
    share = f.adaptive_avg_pool2d(hole, values.shape[2:])
    of_all = count() * mean(share.sum())
    return count() * (values * share).sum() / of_all.clamp(min=1)
