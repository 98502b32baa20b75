"""A training on disk: one safetensors file, with everything that is no tensor as JSON in its header.

Two are kept, the last and the one before it. Each carries a SHA-256 over all of its content, so that a
damaged one is known as such; then the other one is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save
from torch import Tensor

from edgefill.errors import ModelError, OutputError
from edgefill.files import atomic_writer

LAST, PREVIOUS = "last.safetensors", "last-1.safetensors"
_FORMAT = "edgefill.training/1"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a training by name, and all else that it needs to go on, as JSON values."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with ``prefix`` and a dot, without these."""
    start = len(prefix) + 1
    return {name[start:]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> None:
    """Writes ``checkpoint`` as the last of ``run``; the last one before becomes the previous.

    Raises OutputError, after which the checkpoints of before are still there.
    """
    state = json.dumps(checkpoint.state, allow_nan=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {"format": _FORMAT, "state": state, "sha256": _digest(tensors, state)}
    content = save(tensors, metadata=header)
    try:
        with atomic_writer(run / LAST) as file:
            file.write(content)
            file.flush()  # A full disk shows here, before the old files move.
            if (run / LAST).exists():
                (run / LAST).replace(run / PREVIOUS)
    except OutputError as error:
        raise OutputError(f"{error} (a checkpoint needs {len(content) / 1e6:.1f} MB)") from error


def load_checkpoint(run: Path) -> tuple[Checkpoint, str]:
    """The last checkpoint of ``run`` that is whole, and what is wrong with the one after it ("" if nothing).

    Raises ModelError where there is none.
    """
    problems: list[str] = []
    for name in (LAST, PREVIOUS):
        try:
            return read_checkpoint(run / name), "; ".join(problems)
        except ModelError as error:
            problems.append(str(error))
    raise ModelError(f"cannot load the training {str(run)!r}: {'; '.join(problems)}; train it again")


def read_checkpoint(file: Path) -> Checkpoint:
    """The checkpoint in ``file``. Raises ModelError if it is missing, damaged, or something else."""
    if not file.is_file():
        raise ModelError(f"{str(file)!r} is missing")
    try:
        with safetensors.safe_open(file, framework="pt") as archive:
            header = archive.metadata() or {}
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{str(file)!r} is damaged or no safetensors file: {error}") from error
    if header.get("format") != _FORMAT:
        raise ModelError(
            f"{str(file)!r} is no checkpoint of this version: "
            f"its format is {header.get('format')!r}, expected {_FORMAT!r}"
        )
    state = header.get("state", "")
    if header.get("sha256") != _digest(tensors, state):
        raise ModelError(f"{str(file)!r} is damaged: its content does not have the SHA-256 that it names")
    return Checkpoint(tensors, json.loads(state))


def set_aside_last(run: Path) -> None:
    """Renames a last checkpoint that is damaged, or the next save would put it over the good one."""
    if (run / LAST).exists():
        (run / LAST).replace(run / "damaged.safetensors")


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
