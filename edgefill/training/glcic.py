"""The training of GLCIC in the paper's three phases: the completion network, the discriminators, both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.networks.glcic import CompletionNetwork, Discriminators
from edgefill.training.completing import CompletionTrainer, over_the_hole
from edgefill.training.config import GlcicTraining
from edgefill.training.data import Pictures
from edgefill.training.holes import Holes
from edgefill.training.losses import discriminator_loss, generator_loss
from edgefill.training.together import batch_of, own
from edgefill.training.trainer import descend


class GlcicTrainer(CompletionTrainer):
    """Takes C towards the picture inside the hole in the first phase; in the second the discriminators D
    towards telling completed pictures from real ones; in the third D, and then C towards both the picture and
    fooling D.
    """

    def __init__(self, config: GlcicTraining, pictures: Pictures, device: torch.device) -> None:
        super().__init__(config, pictures, device)
        self._holes = Holes(config.network.size, 1, config.seed, coarse=False)

    def _made(self, pictures: Pictures) -> tuple[nn.Module, nn.Module]:
        mean = torch.from_numpy(pictures.values.mean((0, 2, 3)) / 127.5 - 1)
        return CompletionNetwork(self.config.network, mean), Discriminators(self.config.network)

    def _examples(self, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return real, self._holes.draw(len(real), rng)[0]

    def _seen(self, pictures: Tensor, known: Tensor) -> Tensor:
        return torch.where(known > 0, pictures, self.C_ema.mean)

    def _update(self, pictures: Tensor, known: Tensor, rng: np.random.Generator) -> dict[str, float]:
        places = _around(known[:, 0].cpu().numpy() == 0)
        losses = {}
        if self._judges:
            elsewhere = own(rng.integers(self.config.network.size // 2 + 1, size=(batch_of(pictures), 2)))
            losses["D"] = self._update_discriminators(pictures, known, places, elsewhere)
        if self._completes:
            losses["C"] = self._update_completion(pictures, known, places)
        return losses

    @property
    def _completes(self) -> bool:
        return not self._judges or self.step >= self.config.completion_steps + self.config.discriminator_steps

    def _update_discriminators(
        self, pictures: Tensor, known: Tensor, places: np.ndarray, elsewhere: np.ndarray
    ) -> float:
        with torch.no_grad():
            completed = self._composed(pictures, known)
        with self._autocast():
            real = self.D(pictures, _patches(pictures, elsewhere))
            fake = self.D(completed, _patches(completed, places))
        return descend(self.optimisers["D"], discriminator_loss(real.float(), fake.float()))

    def _update_completion(self, pictures: Tensor, known: Tensor, places: np.ndarray) -> float:
        completed = self._composed(pictures, known)
        loss = over_the_hole((completed - pictures).square(), known)
        if self._judges:
            logits = self._opinion(completed, _patches(completed, places))
            loss = loss + self.config.alpha * generator_loss(logits.float())
        return descend(self.optimisers["C"], loss)


def _around(holes: np.ndarray) -> np.ndarray:
    """Where patches of half a side begin so that the middle of each of ``holes [N, S, S]`` is theirs too."""
    size = holes.shape[1]
    place = np.arange(size)
    counted = np.maximum(holes.sum((1, 2)), 1)
    rows, columns = ((holes.sum(axis) * place).sum(1) / counted for axis in (2, 1))
    begins = np.stack([rows, columns], 1) - size // 4
    return np.clip(np.round(begins), 0, size // 2).astype(int)


def _patches(pictures: Tensor, begins: np.ndarray) -> Tensor:
    """The part of half a side of each of ``pictures [N, C, S, S]`` that begins at ``begins [N, 2]``."""
    half = pictures.shape[2] // 2
    parts = [
        picture[:, row : row + half, column : column + half]
        for picture, (row, column) in zip(pictures, begins.tolist(), strict=True)
    ]
    return torch.stack(parts)
