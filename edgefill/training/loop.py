"""A training from its first step, or its last checkpoint, to its end."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from edgefill.errors import InputError, ModelError
from edgefill.networks.dcgan import draw_latents
from edgefill.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, set_aside_last
from edgefill.training.config import CHANGEABLE, TrainingConfig, differences
from edgefill.training.data import Batches, Pictures
from edgefill.training.ema import fit_batch_norms
from edgefill.training.log import Log
from edgefill.training.run import sole_writer, write_config
from edgefill.training.trainer import Progress, Trainer

_SAMPLES = 64


def train(
    run: Path,
    config: TrainingConfig,
    pictures: Pictures,
    device: torch.device,
    *,
    resume: bool = False,
    on_step: Callable[[Progress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
    warn: Callable[[str], object] = warnings.warn,
) -> int:
    """The number of steps done: all of them, or fewer where ``stopping`` became true.

    The state is saved in ``run`` every ``config.checkpoint_every`` steps, after each epoch, and at the end; a
    training that was killed and resumed on a CPU gives the same weights, bit for bit, as one that was not.
    Raises InputError where a resumed training has another recipe or other pictures than before, ModelError
    where no checkpoint can be read or a loss is not finite, OutputError where the disk is full.
    """
    torch.set_flush_denormal(True)  # Processors are slow at denormal numbers, and early gradients hold many.
    batches = Batches(pictures, config.batch, config.seed, mirror=config.mirror)
    trainer = Trainer(config, config.epochs * batches.per_epoch, device)
    with sole_writer(run):
        if resume:
            _restore(trainer, run, pictures, warn)
        with Log(run, trainer.step) as log:
            saved = trainer.step if resume else _save(trainer, run, pictures, log)
            write_config(run, config)
            for progress in _steps(trainer, batches, stopping):
                log.losses(progress)
                on_step(progress)
                if progress.epoch_ended or trainer.step % config.checkpoint_every == 0:
                    saved = _save(trainer, run, pictures, log)
                if progress.epoch_ended:
                    log.samples(progress, _samples(trainer))
            if saved != trainer.step:
                _save(trainer, run, pictures, log)
    return trainer.step


def _steps(trainer: Trainer, batches: Batches, stopping: Callable[[], bool]) -> Iterator[Progress]:
    while trainer.step < trainer.total_steps and not stopping():
        losses = trainer.advance(batches[trainer.step])
        epoch, position = math.ceil(trainer.step / batches.per_epoch), trainer.step % batches.per_epoch
        yield Progress(trainer.step, trainer.total_steps, epoch, position == 0, losses)


def _save(trainer: Trainer, run: Path, pictures: Pictures, log: Log) -> int:
    tensors = trainer.tensors()
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ModelError(
            f"the training broke at step {trainer.step}: a weight is NaN or infinite; the last checkpoint is "
            "kept: train anew with a smaller --lr or --precision fp32"
        )
    log.flush()
    state = {"config": trainer.config.to_json(), "step": trainer.step, "pictures": pictures.digest}
    save_checkpoint(run, Checkpoint(tensors, state))
    return trainer.step


def _restore(trainer: Trainer, run: Path, pictures: Pictures, warn: Callable[[str], object]) -> None:
    checkpoint, damage = load_checkpoint(run)
    check_changes(TrainingConfig.from_json(checkpoint.state["config"]), trainer.config)
    if checkpoint.state["pictures"] != pictures.digest:
        raise InputError(
            "cannot resume on other pictures: the folder's content is not what the training began with; "
            "put it back, or train anew in another folder"
        )
    if damage:
        warn(f"{damage}; going on with the checkpoint before it, step {checkpoint.state['step']}")
        set_aside_last(run)
    trainer.load_tensors(checkpoint.tensors, checkpoint.state["step"])


def check_changes(old: TrainingConfig, new: TrainingConfig) -> None:
    """Raises InputError that names the first key in which a resumed training may not differ but does."""
    for key, (before, now) in differences(old, new).items():
        if key not in CHANGEABLE:
            raise InputError(
                f"cannot resume with another {key}: it was {before!r} and is {now!r}; only "
                f"{' and '.join(CHANGEABLE)} may change: leave it as it was, or train anew in another folder"
            )


@torch.no_grad()
def _samples(trainer: Trainer) -> np.ndarray:
    random = torch.Generator().manual_seed(trainer.config.seed)
    z = draw_latents(_SAMPLES, trainer.config.network.z_dim, random)
    G = copy.deepcopy(trainer.G_ema)  # What is looked at leaves no trace in what is trained.
    fit_batch_norms(G, trainer.config.network.z_dim, trainer.config.batch)
    return G(z.to(trainer.device)).cpu().numpy()
