"""The networks in training: one step of the game, and everything that a checkpoint has to hold."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.networks.dcgan import Discriminator, Generator, draw_latents, initialise
from edgefill.training.augment import augmented
from edgefill.training.checkpoint import part
from edgefill.training.config import TrainingConfig
from edgefill.training.ema import fit_batch_norms, update_average
from edgefill.training.losses import discriminator_loss, generator_loss
from edgefill.training.together import average_gradients, means, own, synchronised

_SAMPLES = 64


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
        self.optimisers = {"G": self._adam(synchronised(self.G)), "D": self._adam(synchronised(self.D))}

    def advance(self, real: np.ndarray) -> dict[str, float]:
        """One update of D on ``real [B, C, S, S]`` uint8, then the updates of G; the loss of each at last.

        Raises ModelError that names the step where a loss is NaN or infinite.
        """
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = self._learning_rate()
        # D and G's first update share their pictures, as in the reference: G is the same for both.
        generated = self._generate(len(real))
        of_discriminator = self._update_discriminator(to_unit(own(real), self.device), generated.detach())
        of_generator = self._update_generator(generated)
        for _ in range(self.config.generator_updates - 1):
            of_generator = self._update_generator(self._generate(len(real)))
        losses = judged({"D": of_discriminator, "G": of_generator}, self.step)
        update_average(self.G_ema, self.G, self.config.ema_decay, self.step)
        self.step += 1
        return losses

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that ``load_tensors`` needs to go on as if nothing had happened."""
        return {"random": self.random.get_state(), **state_of(self._networks(), self.optimisers)}

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Takes over what ``tensors`` gave after ``step`` steps."""
        self.step = step
        self.random.set_state(tensors["random"])
        load_state(self._networks(), self.optimisers, tensors)

    @torch.no_grad()
    def samples(self) -> np.ndarray:
        """What the average of G draws of the same latents each time, [N, C, S, S] in [-1, 1]."""
        random = torch.Generator().manual_seed(self.config.seed)
        z = draw_latents(_SAMPLES, self.config.network.z_dim, random)
        G = copy.deepcopy(self.G_ema)  # What is looked at leaves no trace in what is trained.
        fit_batch_norms(G, self.config.network.z_dim, self.config.batch)
        return G(z.to(self.device)).cpu().numpy()

    def _networks(self) -> dict[str, nn.Module]:
        return {"G": self.G, "D": self.D, "G_ema": self.G_ema}

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        betas = (self.config.beta1, self.config.beta2)
        return torch.optim.Adam(network.parameters(), self.config.lr, betas, fused=True)

    def _learning_rate(self) -> float:
        return falling_rate(self.config.lr, self.config.lr_decay, self.step, self.total_steps)

    def _generate(self, count: int) -> Tensor:
        """This process's part of ``count`` pictures."""
        latents = own(draw_latents(count, self.config.network.z_dim, self.random))
        with self._autocast():
            return self.G(latents.to(self.device))

    def _update_discriminator(self, real: Tensor, generated: Tensor) -> float:
        real, generated = self._shown(real), self._shown(generated)
        with self._autocast():
            logits = self.D(real), self.D(generated)
        return descend(self.optimisers["D"], discriminator_loss(logits[0].float(), logits[1].float()))

    def _update_generator(self, generated: Tensor) -> float:
        self.D.requires_grad_(False)  # Saves the gradients of its weights.
        shown = self._shown(generated)
        with self._autocast():
            logits = self.D(shown)
        loss = descend(self.optimisers["G"], generator_loss(logits.float()))
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


def judged(losses: Mapping[str, float], step: int) -> dict[str, float]:
    """``losses``, means over all processes. Raises ModelError with the step where one is not finite."""
    losses = means(losses)
    for name, value in losses.items():
        if not math.isfinite(value):
            raise ModelError(
                f"the training broke at step {step}: the loss of {name} is {value}, expected a "
                "finite number; the last checkpoint is kept: train anew with a smaller --lr, or in fp32"
            )
    return losses


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts ``weights`` into ``network``. Raises ModelError that names what does not fit."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()  # Below PyTorch's heading: one line per difference.
        raise ModelError(f"the weights do not fit the {type(network).__name__}: {first}") from error


def to_unit(pictures: np.ndarray, device: torch.device) -> Tensor:
    """``pictures [N, C, S, S]`` uint8 in [-1, 1] on ``device``."""
    unit = torch.from_numpy(pictures).to(device).float() / 127.5 - 1
    return unit.contiguous(memory_format=torch.channels_last)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """One step of ``optimiser`` down the gradient of ``loss``, whose value is returned."""
    optimiser.zero_grad()
    loss.backward()
    average_gradients(optimiser.param_groups[0]["params"])
    optimiser.step()
    return loss.item()


def falling_rate(rate: float, decay: float, step: int, steps: int) -> float:
    """``rate``, which falls linearly to 0 over the last share ``decay`` of ``steps``."""
    return rate * min(1.0, (steps - step) / max(1.0, decay * steps))


def state_of(
    networks: Mapping[str, nn.Module], optimisers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Every tensor of ``networks`` and ``optimisers`` under one name each; see ``load_state``."""
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
    for name, optimiser in optimisers.items():
        tensors |= {f"adam_{name}.{key}": tensor for key, tensor in moments_of(optimiser).items()}
    return tensors


def load_state(
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    tensors: Mapping[str, Tensor],
) -> None:
    """Takes over what ``state_of`` gave. Raises ModelError where it does not fit."""
    for name, network in networks.items():
        load_weights(network, part(tensors, name))
    for name, optimiser in optimisers.items():
        load_moments(optimiser, part(tensors, f"adam_{name}"))


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What ``optimiser`` remembers of each parameter."""
    return {
        f"{number}.{key}": tensor
        for number, moments in optimiser.state_dict()["state"].items()
        for key, tensor in moments.items()
    }


def load_moments(optimiser: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Gives ``optimiser`` what ``moments_of`` gave."""
    for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
        state = part(moments, str(number))
        for name, tensor in state.items():
            # The memory layout of the parameter too: sums in another order would not be bit-identical.
            layout = torch.empty_like(parameter if tensor.shape == parameter.shape else tensor)
            state[name] = layout.copy_(tensor) if name != "step" else tensor.clone()
        optimiser.state[parameter] = state
