"""The training of GLCIC in the paper's three phases: the completion network, the discriminators, both."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.networks.glcic import CompletionNetwork, Discriminators
from edgefill.training.config import GlcicTraining
from edgefill.training.data import Pictures
from edgefill.training.ema import update_average, update_statistics
from edgefill.training.holes import Holes
from edgefill.training.losses import discriminator_loss, generator_loss
from edgefill.training.trainer import (
    check_losses,
    descend,
    falling_rate,
    load_state,
    state_of,
    to_unit,
)  # fmt: skip

_STRIPS = 24  # in a sheet of samples
_BETAS = 0.9, 0.999


class GlcicTrainer:
    """The completion network C, its average ``C_ema``, the discriminators D and their optimisers.

    A step of the first phase takes C towards the picture inside the hole; of the second, D towards telling
    completed pictures from real ones; of the third, D, and then C towards both the picture and fooling D.
    """

    def __init__(self, config: GlcicTraining, pictures: Pictures, device: torch.device) -> None:
        self.config, self.device = config, device
        self.total_steps = config.completion_steps + config.discriminator_steps + config.joint_steps
        self.step = 0
        mean = torch.from_numpy(pictures.values.mean((0, 2, 3)) / 127.5 - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.C, self.D = CompletionNetwork(config.network, mean), Discriminators(config.network)
        for network in (self.C, self.D):
            network.to(device, memory_format=torch.channels_last)
        self.C_ema = copy.deepcopy(self.C).eval().requires_grad_(False)
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), config.lr, _BETAS, fused=True)
            for name, network in (("C", self.C), ("D", self.D))
        }
        self._holes = Holes(config.network.size, 1, config.seed, coarse=False)
        self._shown = pictures.values[:_STRIPS]

    def advance(self, real: np.ndarray) -> dict[str, float]:
        """One step of its phase on ``real [B, C, S, S]`` uint8.

        Raises ModelError that names the step where a loss is NaN or infinite.
        """
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = self._learning_rate()
        rng = np.random.default_rng([self.config.seed, self.step])  # A resumed training needs no state of it.
        pictures = to_unit(real, self.device)
        known, places = self._hidden(len(real), rng)
        losses = {}
        if self._judges:
            elsewhere = rng.integers(self.config.network.size // 2 + 1, size=(len(real), 2))
            losses["D"] = self._update_discriminators(pictures, known, places, elsewhere)
        if self._completes:
            losses["C"] = self._update_completion(pictures, known, places)
        check_losses(losses, self.step)
        for update in (update_average, update_statistics):
            update(self.C_ema, self.C, self.config.ema_decay, self.step)
        self.step += 1
        return losses

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that ``load_tensors`` needs to go on as if nothing had happened."""
        return state_of(self._networks(), self.optimisers)

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Takes over what ``tensors`` gave after ``step`` steps."""
        self.step = step
        load_state(self._networks(), self.optimisers, tensors)

    @torch.no_grad()
    def samples(self) -> np.ndarray:
        """Strips of what is seen, what C makes of it, and the picture, [N, C, S, 3S] in [-1, 1]."""
        pictures = to_unit(self._shown, self.device)
        known, _ = self._hidden(len(pictures), np.random.default_rng(self.config.seed))
        seen = torch.where(known > 0, pictures, self.C_ema.mean)
        completed = torch.where(known > 0, pictures, self.C_ema(pictures, known))
        return torch.cat([seen, completed, pictures], 3).cpu().numpy()

    @property
    def _judges(self) -> bool:
        return self.step >= self.config.completion_steps

    @property
    def _completes(self) -> bool:
        return not self._judges or self.step >= self.config.completion_steps + self.config.discriminator_steps

    def _hidden(self, count: int, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """What is known ``[N, 1, S, S]``, and where the patch around each hole begins, rows and columns."""
        known, _ = self._holes.draw(count, rng)
        return torch.from_numpy(known).to(self.device), _around(known[:, 0] == 0)

    def _update_discriminators(
        self, pictures: Tensor, known: Tensor, places: np.ndarray, elsewhere: np.ndarray
    ) -> float:
        with torch.no_grad(), self._autocast():
            completed = self._composed(pictures, known)
        with self._autocast():
            real = self.D(pictures, _patches(pictures, elsewhere))
            fake = self.D(completed, _patches(completed, places))
        return descend(self.optimisers["D"], discriminator_loss(real.float(), fake.float()))

    def _update_completion(self, pictures: Tensor, known: Tensor, places: np.ndarray) -> float:
        with self._autocast():
            completed = self._composed(pictures, known)
        missing = (1 - known).sum() * pictures.shape[1]
        loss = (completed - pictures).square().sum() / missing
        if self._judges:
            self.D.requires_grad_(False)  # Saves the gradients of its weights.
            with self._autocast():
                logits = self.D(completed, _patches(completed, places))
            loss = loss + self.config.alpha * generator_loss(logits.float())
        value = descend(self.optimisers["C"], loss)
        self.D.requires_grad_(True)
        return value

    def _composed(self, pictures: Tensor, known: Tensor) -> Tensor:
        """Pictures whose holes C fills, float32."""
        return torch.where(known > 0, pictures, self.C(pictures, known).float())

    def _networks(self) -> dict[str, nn.Module]:
        return {"C": self.C, "D": self.D, "C_ema": self.C_ema}

    def _learning_rate(self) -> float:
        return falling_rate(self.config.lr, self.config.lr_decay, self.step, self.total_steps)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")


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
