"""TensorFlow checkpoints of the DCGANs of carpedm20 and bamos, without TensorFlow, to state dicts.

A checkpoint is a table (NAME.index) of where each tensor stands in its data (NAME.data-00000-of-00001). The
checksums of the table are compared, those of the data are not: in Python they would take minutes.

https://github.com/carpedm20/DCGAN-tensorflow, https://github.com/bamos/dcgan-completion.tensorflow
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export.weights.formats import index_of
from edgefill.export.weights.tables import LARGEST, Cursor, read_table
from edgefill.model.onnx_file import MAX_BYTES

_TYPES = {1: "<f4", 2: "<f8", 19: "<f2"}  # of numbers, by TensorFlow's own numbers of them
GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # as the states of a checkpoint are called
_AXES = 8
_VARIABLE = re.compile(r"(?:.*/)?([gd])_(h|bn)(\d{1,4})(?:_(conv|lin))?/(\w+)")
_LEAVES = {
    "Matrix": "weight", "w": "weight", "bias": "bias", "biases": "bias", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip
_OTHERWISE = "; for other networks there is edgefill.export.export_bundle in Python"

Tensors = dict[str, Tensor]
_MOST_BYTES = 4 * MAX_BYTES  # optimisers keep two more numbers a weight


@dataclass(frozen=True)
class _Entry:
    """What the table says of a tensor."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


@dataclass
class _Layer:
    """The tensors of one layer, by the names that they have in a state dict."""

    name: str
    kind: str  # h or bn
    index: int
    ending: str
    tensors: Tensors


def read_checkpoint(path: Path) -> dict[str, Tensors]:
    """The state dicts of G and D, where they are there, in the checkpoint that ``path`` is part of; float32.

    Kernels and linear layers have PyTorch's order of axes. Raises ModelError for what is damaged, of another
    network, or cannot be read.
    """
    index = index_of(path)
    if index is None:
        raise ModelError(
            f"{path.name} is a checkpoint of TensorFlow's first format, of before 0.12; expected NAME.index "
            "and NAME.data-00000-of-00001: restore it in TensorFlow and save it again"
        )
    try:
        if index.stat().st_size > LARGEST:
            raise ModelError(f"it has {index.stat().st_size} bytes, where at most {LARGEST} are read")
        table = read_table(index.read_bytes())
        shards = _shards(table.pop(b"", b""))
        entries = {name.decode("utf-8", "replace"): _entry(value) for name, value in table.items()}
    except (ModelError, OSError) as error:
        raise ModelError(
            f"{index.name} cannot be read: {error}; expected the index of a checkpoint that tf.train.Saver "
            "wrote in the format V2, whole"
        ) from error
    return _networks(index, entries, shards)


def _networks(index: Path, entries: dict[str, _Entry], shards: int) -> dict[str, Tensors]:
    found: dict[str, dict[str, _Layer]] = {"g": {}, "d": {}}
    data = _Data(index, shards)
    for name, entry in entries.items():
        match = _VARIABLE.fullmatch(name)
        if match is None or match[5] not in _LEAVES:
            continue  # an optimiser's, or a counter
        network, kind, number, ending, leaf = match.groups()
        title = name.rsplit("/", 2)[-2]
        layer = found[network].setdefault(title, _Layer(title, kind, int(number), ending or "", {}))
        if _LEAVES[leaf] in layer.tensors:
            raise ModelError(f"{index.name} has two of {title}/{leaf}; expected one DCGAN")
        layer.tensors[_LEAVES[leaf]] = data.tensor(name, entry)
    if not found["g"]:
        raise ModelError(
            f"{index.name} holds no generator: expected variables such as g_h0_lin/Matrix and g_bn0/gamma, "
            f"found {', '.join(list(entries)[:5]) or 'none'}{_OTHERWISE}"
        )
    states = {
        GENERATOR: _generator(found["g"], index.name),
        DISCRIMINATOR: _discriminator(found["d"], index.name),
    }
    return {name: state for name, state in states.items() if state}


def _generator(layers: dict[str, _Layer], file: str) -> Tensors:
    """G's layers from z on: each h, then its bn."""
    ordered = sorted(layers.values(), key=lambda each: (each.index, each.kind == "bn"))
    weights = [each for each in ordered if each.kind == "h"]
    if sum(each.ending == "lin" for each in weights) > 1:
        raise ModelError(
            f"{file} is of a DCGAN that takes labels too, which a search does not have{_OTHERWISE}"
        )
    first = ordered[0]
    if first.ending != "lin":
        raise ModelError(
            f"{file} has a generator that begins with {first.name}; expected g_h0_lin{_OTHERWISE}"
        )
    following = weights[1].tensors.get("weight") if len(weights) > 1 else None
    if following is not None and following.dim() == 4:
        _channels_first(first, 1, following.shape[3], file)
        if "bias" in first.tensors:
            first.tensors["bias"] = _moved(first, first.tensors["bias"], 0, following.shape[3], file)
    return _state(ordered, file)


def _discriminator(layers: dict[str, _Layer], file: str) -> Tensors:
    """D's layers from the picture on: the last bn stands behind the last convolution, and so on."""
    weights = sorted(
        (each for each in layers.values() if each.kind == "h"), key=lambda each: (each.index, each.ending)
    )
    norms = sorted((each for each in layers.values() if each.kind == "bn"), key=lambda each: each.index)
    convolutions = [each for each in weights if each.ending != "lin"]
    behind = dict(zip([each.name for each in convolutions[::-1]], norms[::-1], strict=False))
    ordered = [each for weight in weights for each in (weight, behind.get(weight.name)) if each is not None]
    last = weights[-1] if weights else None
    if last is not None and last.ending != "lin":
        raise ModelError(
            f"{file} has a discriminator that ends with {last.name}; expected d_h4_lin{_OTHERWISE}"
        )
    kernel = convolutions[-1].tensors.get("weight") if convolutions else None
    if last is not None and kernel is not None and kernel.dim() == 4:
        _channels_first(last, 0, kernel.shape[3], file)
    return _state(ordered, file)


def _channels_first(layer: _Layer, axis: int, channels: int, file: str) -> None:
    """Puts what a linear layer gives, or takes, of maps [H, W, C] in the order [C, H, W]."""
    if "weight" in layer.tensors:
        layer.tensors["weight"] = _moved(layer, layer.tensors["weight"], axis, channels, file)


def _moved(layer: _Layer, tensor: Tensor, axis: int, channels: int, file: str) -> Tensor:
    if tensor.dim() <= axis or channels < 1 or tensor.shape[axis] % channels:
        raise ModelError(
            f"{file}: {layer.name} of {_shown(tuple(tensor.shape))} does not fit the {channels} channels of "
            f"its maps{_OTHERWISE}"
        )
    maps = tensor.unflatten(axis, (-1, channels)).transpose(axis, axis + 1)
    return maps.flatten(axis, axis + 1)


def _state(layers: list[_Layer], file: str) -> Tensors:
    """As a state dict has it: [out, in], [out, in, h, w], and of a transposed convolution [in, out, h, w]."""
    state: Tensors = {}
    for layer in layers:
        if layer.kind == "bn" and "running_mean" not in layer.tensors:
            raise ModelError(
                f"{file} lacks {layer.name}/moving_mean: early programs keep what their batch norms remember "
                f"in other variables, which are not read{_OTHERWISE}"
            )
        for leaf, tensor in layer.tensors.items():
            turned = {2: (1, 0), 4: (3, 2, 0, 1)}.get(tensor.dim())
            state[f"{layer.name}.{leaf}"] = tensor.permute(turned).contiguous() if turned else tensor
    return state


class _Data:
    """The files of a checkpoint's numbers, each read at most once in all."""

    def __init__(self, index: Path, shards: int) -> None:
        self.stem, self.shards = index.name.removesuffix(".index"), shards
        self.folder = index.parent
        self.left: dict[int, int] = {}

    def tensor(self, name: str, entry: _Entry) -> Tensor:
        """In float32. Raises ModelError for what is not there as the table says."""
        if entry.sliced or entry.type not in _TYPES or len(entry.shape) > _AXES:
            self._refuse(name, f"is no whole tensor of floating-point numbers (type {entry.type})")
        count = math.prod(entry.shape)
        if entry.size != count * np.dtype(_TYPES[entry.type]).itemsize or not count:
            self._refuse(name, f"has {entry.size} bytes, which are no numbers of {_shown(entry.shape)}")
        if entry.shard >= self.shards:
            self._refuse(name, f"is said to be in part {entry.shard} of {self.shards}")
        file = self.folder / f"{self.stem}.data-{entry.shard:05d}-of-{self.shards:05d}"
        try:
            size = min(file.stat().st_size, _MOST_BYTES)
            left = self.left.setdefault(entry.shard, size) - entry.size
            if left < 0 or entry.offset + entry.size > size:
                self._refuse(name, f"ends beyond {file.name}, of which {size} bytes are read: it is cut off")
            self.left[entry.shard] = left
            with file.open("rb") as opened:
                opened.seek(entry.offset)
                numbers = np.frombuffer(opened.read(entry.size), _TYPES[entry.type])
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror}; it belongs to its .index") from error
        return torch.from_numpy(numbers.reshape(entry.shape).astype(np.float32))

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise ModelError(f"{self.stem}: the tensor {name[:200]} {why}; copy the checkpoint again, whole")


def _shards(header: bytes) -> int:
    """How many files of data there are. Raises ModelError for another byte order, or another format."""
    fields = _fields(header)
    count = fields.get(1, 0)
    if not isinstance(count, int) or not 0 < count < 100_000:
        raise ModelError("it lacks its header")
    if fields.get(2, 0) != 0:
        raise ModelError("its numbers are in the order of another machine's bytes")
    return count


def _entry(value: bytes) -> _Entry:
    fields = _fields(value)
    numbers = [fields.get(field, 0) for field in (1, 3, 4, 5)]
    if not all(isinstance(number, int) for number in numbers):
        raise ModelError("an entry has text for a number")
    kind, shard, offset, size = (int(number) for number in numbers)
    return _Entry(kind, _shape(fields.get(2, b"")), shard, offset, size, 7 in fields)


def _shape(value: int | bytes) -> tuple[int, ...]:
    sizes = []
    cursor = Cursor(value if isinstance(value, bytes) else b"")
    while cursor:
        field, content = _field(cursor)
        if field == 2:  # a dimension, whose first field is its size
            size = _fields(content).get(1, 0) if isinstance(content, bytes) else 0
            sizes.append(size if isinstance(size, int) else 0)
    return tuple(sizes)


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a protocol buffer by their numbers, of repeated ones the last."""
    cursor = Cursor(message)
    found: dict[int, int | bytes] = {}
    while cursor:
        field, content = _field(cursor)
        found[field] = content
    return found


def _field(cursor: Cursor) -> tuple[int, int | bytes]:
    tag = cursor.varint()
    kind = tag & 7
    if kind == 0:
        return tag >> 3, cursor.varint()
    if kind == 2:
        return tag >> 3, cursor.take(cursor.varint())
    if kind in (1, 5):
        return tag >> 3, int.from_bytes(cursor.take(8 if kind == 1 else 4), "little")
    raise ModelError(f"an entry has a field of the kind {kind}")


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape[:_AXES])) or "no axes"
