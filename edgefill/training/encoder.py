"""The training of an encoder for a G that is trained already and stays as it is."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.networks.encoder import Encoder
from edgefill.pictures.evidence import Evidence
from edgefill.training.checkpoint import load_checkpoint, part
from edgefill.training.config import CONFIG, EncoderConfig
from edgefill.training.data import Batches, Pictures
from edgefill.training.ema import update_average, update_statistics
from edgefill.training.holes import Holes
from edgefill.training.loop import run_training
from edgefill.training.run import load_generator, load_run
from edgefill.training.stage import Progress
from edgefill.training.together import batch_of, own, synchronised
from edgefill.training.trainer import descend, judged, load_state, load_weights, state_of, to_unit

FOLDER = "encoder"  # in the folder of the run whose G it is for
_WARM_UP = 200  # steps
_WEIGHT_DECAY = 1e-4
_STRIPS = 24  # in a sheet of samples


def train_encoder(
    run: Path,
    config: EncoderConfig,
    pictures: Pictures,
    device: torch.device,
    *,
    resume: bool = False,
    on_step: Callable[[Progress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
    warn: Callable[[str], object] = warnings.warn,
) -> int:
    """The number of steps done; leaves in ``run``/encoder what a training leaves. See ``loop.train``."""
    network, checkpoint = load_run(run, warn)
    config = replace(config, network=network.network, generator_step=checkpoint.state["step"])
    batches = Batches(pictures, config.batch, config.seed, mirror=config.mirror)
    stage = EncoderTrainer(config, load_generator(run), pictures, device)
    return run_training(
        run / FOLDER, stage, batches, pictures.digest,
        resume=resume, on_step=on_step, stopping=stopping, warn=warn,
    )  # fmt: skip


def load_encoder(run: str | Path, warn: Callable[[str], object] = warnings.warn) -> Encoder | None:
    """The averaged encoder of ``run``, in eval mode on the CPU; None where none was trained.

    Raises ModelError where it was trained for the G of another step, or cannot be read.
    """
    run = Path(run)
    if not (run / FOLDER / CONFIG).is_file():
        return None
    checkpoint, damage = load_checkpoint(run / FOLDER)
    if damage:
        warn(f"{damage}; going on with the checkpoint before it")
    config = EncoderConfig.from_json(checkpoint.state["config"])
    step = load_run(run, warn)[1].state["step"]
    if config.generator_step != step:
        raise ModelError(
            f"the encoder in {str(run / FOLDER)!r} was trained for G as it was at step "
            f"{config.generator_step}, and G is at step {step}; remove that folder, and train the encoder "
            f"again: edgefill train {run} --stage encoder"
        )
    encoder = Encoder(config.network, config.width)
    load_weights(encoder, part(checkpoint.tensors, "E_ema"))
    return encoder.eval().requires_grad_(False)


class EncoderTrainer:
    """An encoder, its average ``E_ema`` and its optimiser after ``step`` steps, and the G that stays."""

    def __init__(self, config: EncoderConfig, G: nn.Module, pictures: Pictures, device: torch.device) -> None:
        self.config, self.total_steps, self.device = config, config.steps, device
        self.step = 0
        self.block = math.gcd(8, config.network.size)
        self.G = G.to(device, memory_format=torch.channels_last)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.E = Encoder(config.network, config.width).to(device, memory_format=torch.channels_last)
        self.E_ema = copy.deepcopy(self.E).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            synchronised(self.E).parameters(), config.lr, weight_decay=_WEIGHT_DECAY, fused=True
        )
        self._holes = Holes(config.network.size, self.block, config.seed)
        self._shown = pictures.values[:_STRIPS]

    def advance(self, real: np.ndarray) -> dict[str, float]:
        """One update of E on ``real [B, C, S, S]`` uint8, some of which G's own pictures replace.

        Raises ModelError that names the step where the loss is NaN or infinite.
        """
        self.optimiser.param_groups[0]["lr"] = self._learning_rate()
        rng = np.random.default_rng([self.config.seed, self.step])  # A resumed training needs no state of it.
        pictures = self._with_generated(to_unit(own(real), self.device), rng)
        holes = (own(values) for values in self._holes.draw(len(real), rng))
        z, missing, difference = self._completed(self.E, pictures, *holes)
        weight = missing + self.config.known * (1 - missing)
        error = (weight * difference.square()).sum((1, 2, 3)) / weight.sum((1, 2, 3)) / difference.shape[1]
        loss = error.mean() + self.config.prior * z.square().mean()
        losses = judged({"E": descend(self.optimiser, loss)}, self.step)
        for update in (update_average, update_statistics):
            update(self.E_ema, self.E, self.config.ema_decay, self.step)
        self.step += 1
        return losses

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that ``load_tensors`` needs to go on as if nothing had happened."""
        return state_of(self._networks(), {"E": self.optimiser})

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Takes over what ``tensors`` gave after ``step`` steps."""
        self.step = step
        load_state(self._networks(), {"E": self.optimiser}, tensors)

    @torch.no_grad()
    def samples(self) -> np.ndarray:
        """Strips of what is seen, what E and G make of it, and the picture, [N, C, S, 3S] in [-1, 1]."""
        pictures = to_unit(self._shown, self.device)
        holes = self._holes.draw(len(pictures), np.random.default_rng(self.config.seed))
        _, missing, difference = self._completed(self.E_ema, pictures, *holes)
        seen, _ = _evidence(pictures, *holes, self.block).seen()
        made = pictures + missing * difference
        return torch.cat([torch.from_numpy(seen), made.cpu(), pictures.cpu()], 3).numpy()

    def _completed(
        self, E: nn.Module, pictures: Tensor, weight: np.ndarray, block_weight: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor]:
        """z of what is seen of ``pictures``, where they are missing [N, 1, S, S], and G(z) − pictures."""
        seen = _evidence(pictures, weight, block_weight, self.block).seen()
        inputs = [torch.from_numpy(part).to(self.device) for part in seen]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            z = E(*inputs)
            drawn = self.G(z)
        return z.float(), 1 - torch.from_numpy(weight).to(self.device), drawn.float() - pictures

    @torch.no_grad()
    def _with_generated(self, pictures: Tensor, rng: np.random.Generator) -> Tensor:
        whole = batch_of(pictures)
        count = round(self.config.generated * whole)
        z = rng.uniform(-1, 1, (count, self.config.network.z_dim)).astype(np.float32)
        place = own(np.arange(whole))
        mine = place[place < count]
        if len(mine):
            pictures[: len(mine)] = self.G(torch.from_numpy(z[mine]).to(self.device))
        return pictures

    def _networks(self) -> dict[str, nn.Module]:
        return {"E": self.E, "E_ema": self.E_ema}

    def _learning_rate(self) -> float:
        rising = min(1.0, (self.step + 1) / _WARM_UP)
        return self.config.lr * rising * (1 - self.step / self.total_steps)


def _evidence(pictures: Tensor, weight: np.ndarray, block_weight: np.ndarray, block: int) -> Evidence:
    """What is known of ``pictures``; of those whose blocks are known, every pixel is its block's mean."""
    values = pictures.cpu().numpy().copy()
    coarse = block_weight.max((1, 2, 3)) > 0
    side = values.shape[-1] // block
    blocks = values[coarse].reshape(-1, values.shape[1], side, block, side, block)
    means = np.broadcast_to(blocks.mean((3, 5), keepdims=True), blocks.shape)
    values[coarse] = means.reshape(values[coarse].shape)
    return Evidence(values, weight, block_weight)
