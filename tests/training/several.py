"""Trainings of every kind, alone or as one of several processes: `torchrun … several.py FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from edgefill.errors import BackendUnavailable, InputError
from edgefill.networks.config import CompletionConfig, GlcicConfig, NetworkConfig, UNetConfig
from edgefill.training import holes, unet
from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.config import EncoderConfig, GlcicTraining, Recipe, TrainingConfig, UNetTraining
from edgefill.training.data import Pictures, load_pictures
from edgefill.training.encoder import FOLDER, train_encoder
from edgefill.training.loop import train
from edgefill.training.one_pass import train_in_one_pass
from edgefill.training.together import is_first, joined
from tests.training.features import save_features

CPU = torch.device("cpu")
DCGAN = TrainingConfig(
    NetworkConfig(z_dim=4, filters=2, channels=1, size=8), epochs=2, batch=4, checkpoint_every=3,
    augment=True, precision="fp32",
)  # fmt: skip
_ENCODER = EncoderConfig(steps=4, batch=4, width=4, precision="fp32")
_CRITICISED = {
    kind: ARCHITECTURES[kind].recipe(
        CompletionConfig(channels=1, size=32, filters=2), batch=4, completion_steps=1, joint_steps=3,
        precision="fp32",
    )
    for kind in ("context-encoder", "gated")
}  # fmt: skip
_GLCIC = GlcicTraining(
    GlcicConfig(channels=1, size=32, filters=2), batch=4, completion_steps=1, discriminator_steps=1,
    joint_steps=2, precision="fp32",
)  # fmt: skip
_UNET = UNetTraining(
    UNetConfig(size=64, filters=2), batch=2, completion_steps=1, joint_steps=2, crop=64, joint_crop=64,
    precision="fp32",
)  # fmt: skip
KINDS = ("dcgan", f"dcgan/{FOLDER}", "glcic", "unet", *_CRITICISED)


@contextmanager
def _small_pools() -> Iterator[None]:
    """Pools of holes that are drawn in no time."""
    with mock.patch.object(holes, "_POOL", 32), mock.patch.object(unet, "_POOL", 32):
        yield


@_small_pools()
def train_all(folder: Path) -> None:
    """Every one of KINDS in ``folder``, where ``pictures`` and ``features.npz`` are."""
    train(made(folder / "dcgan"), DCGAN, pictures_of(folder), CPU)
    made(folder / "dcgan" / FOLDER)
    train_encoder(folder / "dcgan", _ENCODER, pictures_of(folder), CPU)
    recipes: list[Recipe] = [_GLCIC, replace(_UNET, features=str(folder / "features.npz"))]
    for recipe in (*recipes, *_CRITICISED.values()):
        noise = _noise(recipe.network.channels, recipe.network.size)
        train_in_one_pass(made(folder / recipe.kind), recipe, noise, CPU)


def prepared(folder: Path) -> Path:
    """``folder``, with what the trainings read."""
    from PIL import Image

    made(folder / "pictures")
    for number, picture in enumerate(_noise(1, 8, 12).values):
        Image.fromarray(picture[0]).save(folder / "pictures" / f"{number:02}.png")
    save_features(folder / "features.npz")
    return folder


def made(folder: Path) -> Path:
    """``folder``, which is there now."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pictures_of(folder: Path) -> Pictures:
    """Those that ``prepared`` has put there."""
    return load_pictures(folder / "pictures", 8, 1)


def _noise(channels: int, side: int, count: int = 8) -> Pictures:
    return Pictures(np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8))


def _at_step(count: int, act: Callable[[], bool]) -> Callable[[], bool]:
    """Asked before every step: does ``act`` once ``count`` steps are done."""
    asked = iter(range(1000))
    return lambda: next(asked) >= count and act()


def _say_what(is_refused: Callable[[], object], kind: type[Exception]) -> None:
    try:
        is_refused()
    except kind as error:
        print(f"process {os.environ['RANK']}: {error}", flush=True)


def _several(folder: Path) -> None:
    """In each process: all trainings; refusals; one that the second one stops; one in which it is killed."""
    pictures, second = pictures_of(folder), not is_first()
    train_all(folder)
    _say_what(lambda: train(made(folder / "odd"), replace(DCGAN, batch=3), pictures, CPU), InputError)
    other = replace(DCGAN, seed=int(second))
    _say_what(lambda: train(made(folder / "differ"), other, pictures, CPU), InputError)
    stopping = _at_step(2, lambda: second)
    assert train(made(folder / "stopped"), DCGAN, pictures, CPU, stopping=stopping) == 2
    train(folder / "stopped", DCGAN, pictures, CPU, resume=True)

    def die() -> bool:
        if second:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    train(made(folder / "killed"), DCGAN, pictures, CPU, stopping=_at_step(5, die))


def _threads() -> list[str]:
    """The names of this process's threads."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # With it torchrun ends the one that is left.
    with joined(CPU):
        _say_what(lambda: _several(Path(sys.argv[1])), BackendUnavailable)
    if sys.platform == "linux":
        left = sum("gloo" in name for name in _threads())
        print(f"process {os.environ['RANK']}: threads of gloo left: {left}")
