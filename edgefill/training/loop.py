"""A training from its first step, or its last checkpoint, to its end."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch

from edgefill.errors import InputError, ModelError
from edgefill.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, set_aside_last
from edgefill.training.config import CHANGEABLE, Recipe, TrainingConfig, differences
from edgefill.training.data import Batches, Pictures
from edgefill.training.log import Log, Silence
from edgefill.training.run import sole_writer, write_config
from edgefill.training.stage import Progress, Stage
from edgefill.training.together import anybody, check_batch, check_same, count, is_first, wait_for_all
from edgefill.training.trainer import Trainer


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
    batches = Batches(pictures, config.batch, config.seed, mirror=config.mirror)
    trainer = Trainer(config, config.epochs * batches.per_epoch, device)
    return run_training(
        run, trainer, batches, pictures.digest, resume=resume, on_step=on_step, stopping=stopping, warn=warn
    )


def run_training(
    run: Path,
    stage: Stage,
    batches: Batches,
    digest: str,
    *,
    resume: bool,
    on_step: Callable[[Progress], None],
    stopping: Callable[[], bool],
    warn: Callable[[str], object],
) -> int:
    """Advances ``stage`` to its end over ``batches`` of the pictures with ``digest``; see ``train``.

    Of several processes that train together the first one writes, and calls ``on_step``.
    """
    torch.set_flush_denormal(True)  # Processors are slow at denormal numbers, and early gradients hold many.
    check_batch(batches.size)
    with sole_writer(run) if is_first() else nullcontext():
        if resume:
            _restore(stage, run, digest, warn)
        check_same("recipe, pictures and checkpoint", f"{stage.config} {digest} {stage.step}")
        with Log(run, stage.step) if is_first() else Silence() as log:
            saved = stage.step if resume else _save(stage, run, digest, log)
            if is_first():
                write_config(run, stage.config)
            for progress in _steps(stage, batches, stopping):
                log.losses(progress)
                if is_first():
                    on_step(progress)
                if progress.epoch_ended or stage.step % stage.config.checkpoint_every == 0:
                    saved = _save(stage, run, digest, log)
                if progress.epoch_ended and is_first():
                    log.samples(progress, stage.samples())
            if saved != stage.step:
                _save(stage, run, digest, log)
        wait_for_all()  # What the first one wrote is there when any of them returns.
    return stage.step


def _steps(stage: Stage, batches: Batches, stopping: Callable[[], bool]) -> Iterator[Progress]:
    while stage.step < stage.total_steps and not anybody(stopping()):
        losses = stage.advance(batches[stage.step])
        epoch, position = math.ceil(stage.step / batches.per_epoch), stage.step % batches.per_epoch
        yield Progress(stage.step, stage.total_steps, epoch, position == 0, losses)


def _save(stage: Stage, run: Path, digest: str, log: Log | Silence) -> int:
    tensors = stage.tensors()
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ModelError(
            f"the training broke at step {stage.step}: a weight is NaN or infinite; the last checkpoint is "
            "kept: train anew with a smaller --lr or --precision fp32"
        )
    log.flush()
    state = {
        "config": stage.config.to_json(), "step": stage.step, "pictures": digest, "processes": count()
    }  # fmt: skip
    if is_first():
        save_checkpoint(run, Checkpoint(tensors, state))
    return stage.step


def _restore(stage: Stage, run: Path, digest: str, warn: Callable[[str], object]) -> None:
    checkpoint, damage = load_checkpoint(run)
    check_changes(type(stage.config).from_json(checkpoint.state["config"]), stage.config)
    if checkpoint.state["pictures"] != digest:
        raise InputError(
            "cannot resume on other pictures: the folder's content is not what the training began with; "
            "put it back, or train anew in another folder"
        )
    before = checkpoint.state.get("processes", 1)
    if before != count():
        raise InputError(
            f"cannot resume in {count()} processes what was begun in {before}: it would not be the same "
            f"training; start {before}, or train anew in another folder"
        )
    if damage and is_first():
        warn(f"{damage}; going on with the checkpoint before it, step {checkpoint.state['step']}")
        set_aside_last(run)
    stage.load_tensors(checkpoint.tensors, checkpoint.state["step"])


def check_changes(old: Recipe, new: Recipe) -> None:
    """Raises InputError that names the first key in which a resumed training may not differ but does."""
    for key, (before, now) in differences(old, new).items():
        if key not in CHANGEABLE:
            raise InputError(
                f"cannot resume with another {key}: it was {before!r} and is {now!r}; only "
                f"{' and '.join(CHANGEABLE)} may change: leave it as it was, or train anew in another folder"
            )
