"""What the trainings of all networks of one pass share: C, its average, what judges it, and their steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.data import Pictures
from edgefill.training.ema import update_average, update_statistics
from edgefill.training.together import mean, own, synchronised
from edgefill.training.trainer import (
    falling_rate,
    judged,
    load_state,
    state_of,
    to_unit,
)  # fmt: skip

_STRIPS = 24  # in a sheet of samples


class CompletionTrainer:
    """The completion network C, its average ``C_ema``, the critic D and their optimisers.

    A subclass says which pictures and holes a step sees (``_examples``) and what it learns from them
    (``_update``). For the first ``completion_steps`` of the recipe D has no say.
    """

    betas: ClassVar[tuple[float, float]] = 0.9, 0.999

    def __init__(self, config: Any, pictures: Pictures, device: torch.device) -> None:
        self.config, self.device = config, device
        self.total_steps: int = config.total_steps
        self.step = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.C, self.D = self._made(pictures)
        for network in (self.C, self.D):
            network.to(device, memory_format=torch.channels_last)
        self.C_ema = copy.deepcopy(self.C).eval().requires_grad_(False)
        self.optimisers = {
            name: torch.optim.Adam(synchronised(network).parameters(), config.lr, self.betas, fused=True)
            for name, network in (("C", self.C), ("D", self.D))
        }
        self._shown = pictures.values[:_STRIPS]

    def advance(self, real: np.ndarray) -> dict[str, float]:
        """One step of its phase on ``real [B, C, S, S]`` uint8.

        Raises ModelError that names the step where a loss is NaN or infinite.
        """
        rate = falling_rate(self.config.lr, self.config.lr_decay, self.step, self.total_steps)
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = rate
        rng = np.random.default_rng([self.config.seed, self.step])  # A resumed training needs no state of it.
        pictures, known = (own(values) for values in self._examples(real, rng))
        losses = self._update(to_unit(pictures, self.device), torch.from_numpy(known).to(self.device), rng)
        losses = judged(losses, self.step)
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
        values, holes = self._examples(self._shown, np.random.default_rng(self.config.seed))
        pictures, known = to_unit(values, self.device), torch.from_numpy(holes).to(self.device)
        completed = torch.where(known > 0, pictures, self.C_ema(pictures, known))
        strips = torch.cat([self._seen(pictures, known), completed, pictures], 3)
        return strips.clamp(-1, 1).cpu().numpy()

    def _made(self, pictures: Pictures) -> tuple[nn.Module, nn.Module]:
        """C and D, with weights drawn from PyTorch's own random numbers."""
        row = ARCHITECTURES[self.config.kind]
        return row.network(self.config.network), row.critic(self.config.network)

    def _examples(self, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What is shown of ``real [B, C, S, S]``, uint8, and what is known of that, float32 [B, 1, S, S]."""
        raise NotImplementedError

    def _update(self, pictures: Tensor, known: Tensor, rng: np.random.Generator) -> dict[str, float]:
        """The losses, by name, with which this process's part of a batch has updated C and D.

        What it draws of ``rng`` it draws for the whole batch.
        """
        raise NotImplementedError

    def _seen(self, pictures: Tensor, known: Tensor) -> Tensor:
        """What a sheet shows as given: ``pictures``, and mid-grey where they are missing."""
        return pictures * known

    @property
    def _judges(self) -> bool:
        return self.step >= self.config.completion_steps

    def _composed(self, pictures: Tensor, known: Tensor) -> Tensor:
        """Pictures whose holes C fills, float32."""
        with self._autocast():
            return torch.where(known > 0, pictures, self.C(pictures, known).float())

    def _opinion(self, *shown: Any) -> Any:
        """What D says of what is ``shown``; its weights get no gradient."""
        self.D.requires_grad_(False)
        with self._autocast():
            said = self.D(*shown)
        self.D.requires_grad_(True)
        return said

    def _networks(self) -> dict[str, nn.Module]:
        return {"C": self.C, "D": self.D, "C_ema": self.C_ema}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")


def over_the_hole(differences: Tensor, known: Tensor) -> Tensor:
    """The mean over what is missing of ``differences [N, C, S, S]``, which are 0 elsewhere."""
    return differences.sum() / (mean((1 - known).sum()) * differences.shape[1])
