"""Files of weights to state dicts: tensors by name. No code of a file is run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export.weights.formats import SAFETENSORS, TENSORFLOW, format_of
from edgefill.export.weights.tensorflow import read_checkpoint
from edgefill.model.onnx_file import MAX_BYTES

State = dict[str, Tensor]
_DEEPEST = 8  # dictionaries in dictionaries
_OF_CHECKPOINTS = 4  # times what a model may have: optimisers keep two more numbers a weight


def read_states(path: str | Path) -> dict[str, State]:
    """The state dicts in a file of weights by where they stand in it, "" for its top; float32.

    The order of a PyTorch file's tensors is that of the network's layers; of a safetensors file they are
    sorted by the numbers in their names. Raises ModelError for what holds code, is damaged, or holds none.
    """
    path = Path(path)
    if format_of(path) == TENSORFLOW:
        return read_checkpoint(path)
    size = path.stat().st_size
    if size > _OF_CHECKPOINTS * MAX_BYTES:
        raise ModelError(f"{path.name} has {size} bytes; at most {_OF_CHECKPOINTS * MAX_BYTES} are read")
    content = _safetensors(path) if format_of(path) == SAFETENSORS else _pickled(path)
    states = dict(_states(content, "", 0))
    if not states:
        raise ModelError(
            f"{path.name} holds no weights: expected a state dict, as torch.save(G.state_dict(), …) writes it"
        )
    return states


def _safetensors(path: Path) -> State:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as archive:
            names = sorted(archive.keys(), key=_in_numbers)
            return {name: archive.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path.name} is a damaged safetensors file: {error}; copy it again") from error


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of storages' types, which old files name
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or foreign pickle brings up
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        if unsafe:
            raise ModelError(
                f"{path.name} holds more than weights, which would be run to be read: {first[:200]}; "
                "expected a state dict: where the file is trusted, load it in PyTorch and "
                "torch.save(G.state_dict(), …)"
            ) from error
        raise ModelError(
            f"{path.name} cannot be read: {first[:200]}; expected a state dict that torch.save wrote, whole"
        ) from error


def _in_numbers(name: str) -> list[tuple[int, str]]:
    """What sorts "main.10.weight" behind "main.9.weight"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _states(content: Any, where: str, depth: int) -> Iterator[tuple[str, State]]:
    """Every dictionary in ``content`` that holds tensors called weight, and where it stands."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {
        name: value.detach() for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }  # fmt: skip
    if any("weight" in name.rpartition(".")[2] for name in tensors):
        yield where, {name: _plain(tensor) for name, tensor in tensors.items()}
    for name, value in content.items():
        yield from _states(value, f"{where}.{name}".lstrip("."), depth + 1)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def parts_of(state: State) -> dict[str, State]:
    """``state`` by the first part of its names in which they differ, such as "netG" and "netD"."""
    places = zip(*(name.split(".") for name in state), strict=False)
    shared = next((place for place, words in enumerate(places) if len(set(words)) > 1), 0)
    parts: dict[str, State] = {}
    for name, tensor in state.items():
        parts.setdefault(".".join(name.split(".")[: shared + 1]), {})[name] = tensor
    return parts
