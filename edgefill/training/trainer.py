"""The networks in training: one step of the game, and everything that a checkpoint has to hold."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.networks.dcgan import Discriminator, Generator, draw_latents, initialise
from edgefill.training.augment import augmented
from edgefill.training.checkpoint import part
from edgefill.training.config import TrainingConfig
from edgefill.training.ema import update_average
from edgefill.training.losses import discriminator_loss, generator_loss


@dataclass(frozen=True)
class Losses:
    """Of D, and of G in the last of its updates in a step."""

    discriminator: float
    generator: float


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step; ``epoch`` counts from 1."""

    step: int
    total_steps: int
    epoch: int
    epoch_ended: bool
    losses: Losses


class Trainer:
    """G, D, the average ``G_ema``, their optimisers and random numbers, after ``step`` steps."""

    def __init__(self, config: TrainingConfig, total_steps: int, device: torch.device) -> None:
        self.config, self.total_steps, self.device = config, total_steps, device
        self.step = 0
        self.random = torch.Generator().manual_seed(config.seed)  # On the CPU: any device draws the same.
        self.G, self.D = Generator(config.network), Discriminator(config.network)
        for network in (self.G, self.D):
            initialise(network, self.random)
            network.to(device, memory_format=torch.channels_last)
        self.G_ema = copy.deepcopy(self.G).requires_grad_(False)
        self.optimisers = {"G": self._adam(self.G), "D": self._adam(self.D)}

    def advance(self, real: np.ndarray) -> Losses:
        """One update of D on ``real [B, C, S, S]`` uint8, then the updates of G.

        Raises ModelError that names the step where a loss is NaN or infinite.
        """
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = self._learning_rate()
        # D and G's first update share their pictures, as in the reference: G is the same for both.
        generated = self._generate(len(real))
        of_discriminator = self._update_discriminator(_to_unit(real, self.device), generated.detach())
        of_generator = self._update_generator(generated)
        for _ in range(self.config.generator_updates - 1):
            of_generator = self._update_generator(self._generate(len(real)))
        losses = Losses(of_discriminator, of_generator)
        self._check(losses)
        update_average(self.G_ema, self.G, self.config.ema_decay, self.step)
        self.step += 1
        return losses

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that ``load_tensors`` needs to go on as if nothing had happened."""
        tensors = {"random": self.random.get_state()}
        for name, network in self._networks().items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for number, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam_{name}.{number}.{key}": tensor for key, tensor in moments.items()}
        return tensors

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Takes over what ``tensors`` gave after ``step`` steps."""
        self.step = step
        self.random.set_state(tensors["random"])
        for name, network in self._networks().items():
            load_weights(network, part(tensors, name))
        for name, optimiser in self.optimisers.items():
            _load_moments(optimiser, part(tensors, f"adam_{name}"))

    def _networks(self) -> dict[str, nn.Module]:
        return {"G": self.G, "D": self.D, "G_ema": self.G_ema}

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        betas = (self.config.beta1, self.config.beta2)
        return torch.optim.Adam(network.parameters(), self.config.lr, betas, fused=True)

    def _learning_rate(self) -> float:
        falling = max(1.0, self.config.lr_decay * self.total_steps)
        return self.config.lr * min(1.0, (self.total_steps - self.step) / falling)

    def _generate(self, count: int) -> Tensor:
        latents = draw_latents(count, self.config.network.z_dim, self.random).to(self.device)
        with self._autocast():
            return self.G(latents)

    def _update_discriminator(self, real: Tensor, generated: Tensor) -> float:
        real, generated = self._shown(real), self._shown(generated)
        with self._autocast():
            logits = self.D(real), self.D(generated)
        return _descend(self.optimisers["D"], discriminator_loss(logits[0].float(), logits[1].float()))

    def _update_generator(self, generated: Tensor) -> float:
        self.D.requires_grad_(False)  # Saves the gradients of its weights.
        shown = self._shown(generated)
        with self._autocast():
            logits = self.D(shown)
        loss = _descend(self.optimisers["G"], generator_loss(logits.float()))
        self.D.requires_grad_(True)
        return loss

    def _shown(self, pictures: Tensor) -> Tensor:
        """What D sees of ``pictures``."""
        if not self.config.augment:
            return pictures
        changed = augmented(pictures.float(), self.random)
        return changed.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _check(self, losses: Losses) -> None:
        for name, value in vars(losses).items():
            if not math.isfinite(value):
                raise ModelError(
                    f"the training broke at step {self.step}: the loss of the {name} is {value}, expected a "
                    "finite number; the last checkpoint is kept: train anew with a smaller --lr, or in fp32"
                )


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts ``weights`` into ``network``. Raises ModelError that names what does not fit."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()  # Below PyTorch's heading: one line per difference.
        raise ModelError(f"the weights do not fit the {type(network).__name__}: {first}") from error


def _to_unit(pictures: np.ndarray, device: torch.device) -> Tensor:
    unit = torch.from_numpy(pictures).to(device).float() / 127.5 - 1
    return unit.contiguous(memory_format=torch.channels_last)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def _load_moments(optimiser: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
        state = part(moments, str(number))
        for name, tensor in state.items():
            # The memory layout of the parameter too: sums in another order would not be bit-identical.
            layout = torch.empty_like(parameter if tensor.shape == parameter.shape else tensor)
            state[name] = layout.copy_(tensor) if name != "step" else tensor.clone()
        optimiser.state[parameter] = state
