"""The training of any network that completes in one pass, and the network that a run holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.checkpoint import part
from edgefill.training.config import Recipe
from edgefill.training.data import Batches, Pictures
from edgefill.training.loop import run_training
from edgefill.training.run import kind_of, load_run
from edgefill.training.stage import Progress
from edgefill.training.trainer import load_weights


def train_in_one_pass(
    run: Path,
    config: Recipe,
    pictures: Pictures,
    device: torch.device,
    *,
    resume: bool = False,
    on_step: Callable[[Progress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
    warn: Callable[[str], object] = warnings.warn,
) -> int:
    """The number of steps done; leaves in ``run`` what a training leaves. See ``loop.train``."""
    batches = Batches(pictures, config.batch, config.seed, mirror=config.mirror)
    stage = ARCHITECTURES[config.kind].trainer(config, pictures, device)
    return run_training(
        run, stage, batches, pictures.digest, resume=resume, on_step=on_step, stopping=stopping, warn=warn
    )


def load_completion_network(
    run: str | Path, warn: Callable[[str], object] = warnings.warn
) -> tuple[nn.Module, Recipe]:
    """The averaged network of ``run``, in eval mode on the CPU, and its recipe. Raises ModelError."""
    architecture = ARCHITECTURES[kind_of(run)]
    config, checkpoint = load_run(run, warn, architecture.recipe)
    network = architecture.network(config.network)
    load_weights(network, part(checkpoint.tensors, "C_ema"))
    return network.eval().requires_grad_(False), config
