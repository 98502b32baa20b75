"""The folder of a training, and the trained networks in it.

config.json                              the recipe
last.safetensors, last-1.safetensors     the two newest checkpoints
stats.jsonl                              one line a step
samples/                                 one sheet an epoch
tensorboard/                             the same for TensorBoard
pictures.txt                             the folder of the pictures
skipped.txt                              pictures that could not be read, if there are any
encoder/                                 the same of the encoder's training, if there was one
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from edgefill.errors import InputError, ModelError, OutputError
from edgefill.files import write_atomically
from edgefill.networks.dcgan import Discriminator, Generator
from edgefill.training.checkpoint import Checkpoint, load_checkpoint, part
from edgefill.training.config import CHANGEABLE, CONFIG, Recipe, TrainingConfig, differences, kind_in
from edgefill.training.ema import fit_batch_norms
from edgefill.training.trainer import load_weights

_Config = TypeVar("_Config", bound=Recipe)


def load_generator(run: str | Path, warn: Callable[[str], object] = warnings.warn) -> Generator:
    """The averaged G of the last whole checkpoint of ``run``, in eval mode on the CPU.

    Its batch norms are fitted here: a checkpoint holds only what goes on training.
    ``warn`` hears of a damaged newer one. Raises ModelError where ``run`` holds no training that can be read.
    """
    config, checkpoint = load_run(run, warn)
    G = Generator(config.network)
    load_weights(G, part(checkpoint.tensors, "G_ema"))
    fit_batch_norms(G, config.network.z_dim, config.batch)
    return G.eval().requires_grad_(False)


def load_discriminator(run: str | Path, warn: Callable[[str], object] = warnings.warn) -> Discriminator:
    """D of the last whole checkpoint of ``run``, in eval mode on the CPU; see ``load_generator``."""
    config, checkpoint = load_run(run, warn)
    D = Discriminator(config.network)
    load_weights(D, part(checkpoint.tensors, "D"))
    return D.eval().requires_grad_(False)


def load_config(run: str | Path, warn: Callable[[str], object] = warnings.warn) -> TrainingConfig:
    """The recipe with which the last whole checkpoint of ``run`` was made; see ``load_generator``."""
    return load_run(run, warn)[0]


def kind_of(run: str | Path) -> str:
    """What ``run`` trains: "dcgan", "encoder" or "glcic". Raises ModelError where it holds no training."""
    return kind_in(_config_text(Path(run)), str(Path(run) / CONFIG))


@overload
def load_run(
    run: str | Path, warn: Callable[[str], object] = warnings.warn
) -> tuple[TrainingConfig, Checkpoint]: ...


@overload
def load_run(
    run: str | Path, warn: Callable[[str], object], kind: type[_Config]
) -> tuple[_Config, Checkpoint]: ...


def load_run(
    run: str | Path,
    warn: Callable[[str], object] = warnings.warn,
    kind: type[Any] = TrainingConfig,
) -> tuple[Any, Checkpoint]:
    """Config, a recipe of ``kind``, and checkpoint of ``run``.

    Raises ModelError where they are missing, damaged or do not agree.
    """
    run = Path(run)
    written = read_config(run, kind)
    checkpoint, damage = load_checkpoint(run)
    if damage:
        warn(f"{damage}; going on with the checkpoint before it")
    config = kind.from_json(checkpoint.state["config"])
    for key, (used, told) in differences(config, written).items():
        if key not in CHANGEABLE:
            raise ModelError(
                f"{str(run / CONFIG)!r} does not belong to the checkpoint beside it: {key} is {told!r}, "
                f"expected {used!r}; put the file back as it was"
            )
    return config, checkpoint


@overload
def read_config(run: Path) -> TrainingConfig: ...


@overload
def read_config(run: Path, kind: type[_Config]) -> _Config: ...


def read_config(run: Path, kind: type[Any] = TrainingConfig) -> Any:
    """What config.json of ``run`` says, a recipe of ``kind``. Raises ModelError."""
    try:
        return kind.from_json(_config_text(run))
    except ModelError as error:
        raise ModelError(f"{str(run / CONFIG)!r}: {error}") from error


def resumed_config(run: Path, kind: type[_Config], warn: Callable[[str], object] = warnings.warn) -> _Config:
    """What a training in ``run`` goes on with: config.json, or where that is damaged the checkpoint's recipe.

    Raises ModelError where neither can be read.
    """
    try:
        return read_config(run, kind)
    except ModelError as error:
        if not (run / CONFIG).is_file():
            raise
        config = kind.from_json(load_checkpoint(run)[0].state["config"])
        warn(f"{error}; going on with the recipe of the checkpoint")
        return config


def _config_text(run: Path) -> bytes:
    if not (run / CONFIG).is_file():
        raise ModelError(f"{str(run)!r} holds no training: {CONFIG} is missing; expected the folder given to "
                         "`edgefill train --out`")  # fmt: skip
    try:
        return (run / CONFIG).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {str(run / CONFIG)!r}: {error}") from error


def claim_folder(run: Path) -> None:
    """Makes the folder of a new training.

    Raises OutputError where it cannot be written, InputError where it holds a training already.
    """
    if (run / CONFIG).exists():
        raise InputError(
            f"{str(run)!r} holds a training already; go on with it by --resume, or choose another --out"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to {str(run)!r}: {error.strerror}; choose another folder for --out"
        ) from error


@contextmanager
def sole_writer(run: Path) -> Iterator[None]:
    """Keeps a second training out of ``run`` while the block runs, which gets InputError.

    The lock ends with the process, however that ends; Windows has none.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (run / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another training is writing to {str(run)!r}; wait for its end or choose another --out"
            ) from error
        yield


def write_config(run: Path, config: Recipe) -> None:
    """Writes config.json."""
    write_atomically(run / CONFIG, config.to_json())
