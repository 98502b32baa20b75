"""The training of a completion network by differences over the hole, and then by a critic too.

The critic is shown pictures and what is known of them: completed ones, and real ones with the same holes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgefill.training.completing import CompletionTrainer, over_the_hole
from edgefill.training.data import Pictures
from edgefill.training.holes import Holes
from edgefill.training.losses import discriminator_loss, generator_loss, hinges
from edgefill.training.trainer import descend


class AdversarialTrainer(CompletionTrainer):
    """In the joint steps D is updated, then C towards both the picture and what D takes for real."""

    betas = 0.5, 0.999

    def __init__(self, config: Any, pictures: Pictures, device: torch.device) -> None:
        super().__init__(config, pictures, device)
        self._holes = Holes(config.network.size, 1, config.seed, coarse=False)

    @abstractmethod
    def difference(self, completed: Tensor, pictures: Tensor) -> Tensor:
        """Of each pixel."""

    @abstractmethod
    def loss_of_critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """From D's logits of real and of completed pictures."""

    @abstractmethod
    def loss_of_completed(self, fake: Tensor) -> Tensor:
        """From D's logits of completed pictures, for C."""

    def _examples(self, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return real, self._holes.draw(len(real), rng)[0]

    def _update(self, pictures: Tensor, known: Tensor, rng: np.random.Generator) -> dict[str, float]:
        completed = self._composed(pictures, known)
        loss = over_the_hole(self.difference(completed, pictures), known)
        losses = {"difference": loss.item()}
        if self._judges:
            losses["D"] = self._update_critic(pictures, completed.detach(), known)
            verdict = self.loss_of_completed(self._opinion(completed, known).float())
            loss = loss + self.config.adversarial * verdict
        descend(self.optimisers["C"], loss)
        return losses

    def _update_critic(self, pictures: Tensor, completed: Tensor, known: Tensor) -> float:
        with self._autocast():
            real, fake = self.D(pictures, known), self.D(completed, known)
        return descend(self.optimisers["D"], self.loss_of_critic(real.float(), fake.float()))


class CrossEntropyTrainer(AdversarialTrainer):
    """Squares, and the game as a DCGAN plays it: for a critic that gives a picture one logit."""

    def difference(self, completed: Tensor, pictures: Tensor) -> Tensor:
        return (completed - pictures).square()

    def loss_of_critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return discriminator_loss(real, fake)

    def loss_of_completed(self, fake: Tensor) -> Tensor:
        return generator_loss(fake)


class HingeTrainer(AdversarialTrainer):
    """Absolute differences, and hinges: for a critic with a logit for each patch, until it is sure of it."""

    def difference(self, completed: Tensor, pictures: Tensor) -> Tensor:
        return (completed - pictures).abs()

    def loss_of_critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return hinges(real, fake).mean()

    def loss_of_completed(self, fake: Tensor) -> Tensor:
        return -fake.mean()
