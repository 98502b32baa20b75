"""A TensorFlow checkpoint without TensorFlow: a table of tensors (NAME.index) and the files of their numbers.

The checksums of the table are compared; those of the numbers (NAME.data-00000-of-00001) are not, which would
take minutes in Python.
"""

from __future__ import annotations

import math
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
_AXES = 8
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


class Checkpoint:
    """The names of the tensors in the checkpoint that ``path`` is part of, and on demand their numbers.

    Raises ModelError for what is damaged or of another format.
    """

    def __init__(self, path: Path) -> None:
        index = index_of(path)
        if index is None:
            raise ModelError(
                f"{path.name} is a checkpoint of TensorFlow's first format, of before 0.12; expected "
                "NAME.index and NAME.data-00000-of-00001: restore it in TensorFlow and save it again"
            )
        self.file = index.name
        self._folder, self._stem = index.parent, index.name.removesuffix(".index")
        self._left: dict[int, int] = {}  # bytes of each file that no tensor has taken yet
        try:
            if index.stat().st_size > LARGEST:
                raise ModelError(f"it has {index.stat().st_size} bytes, where at most {LARGEST} are read")
            table = read_table(index.read_bytes())
            self._shards = _shards(table.pop(b"", b""))
            self._entries = {name.decode("utf-8", "replace"): _entry(value) for name, value in table.items()}
        except (ModelError, OSError) as error:
            raise ModelError(
                f"{index.name} cannot be read: {error}; expected the index of a checkpoint that "
                "tf.train.Saver wrote in the format V2, whole"
            ) from error

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def tensor(self, name: str) -> Tensor:
        """The tensor ``name`` in float32. Raises ModelError for what is not there as the table says."""
        entry = self._entries[name]
        if entry.sliced or entry.type not in _TYPES or len(entry.shape) > _AXES:
            self._refuse(name, f"is no whole tensor of floating-point numbers (type {entry.type})")
        count = math.prod(entry.shape)
        if entry.size != count * np.dtype(_TYPES[entry.type]).itemsize or not count:
            self._refuse(name, f"has {entry.size} bytes, which are no numbers of {shape_text(entry.shape)}")
        if entry.shard >= self._shards:
            self._refuse(name, f"is said to be in part {entry.shard} of {self._shards}")
        file = self._folder / f"{self._stem}.data-{entry.shard:05d}-of-{self._shards:05d}"
        try:
            size = min(file.stat().st_size, _MOST_BYTES)
            left = self._left.setdefault(entry.shard, size) - entry.size
            if left < 0 or entry.offset + entry.size > size:
                self._refuse(name, f"ends beyond {file.name}, of which {size} bytes are read: it is cut off")
            self._left[entry.shard] = left
            with file.open("rb") as opened:
                opened.seek(entry.offset)
                numbers = np.frombuffer(opened.read(entry.size), _TYPES[entry.type])
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror}; it belongs to its .index") from error
        return torch.from_numpy(numbers.reshape(entry.shape).astype(np.float32))

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise ModelError(f"{self._stem}: the tensor {name[:200]} {why}; copy the checkpoint again, whole")


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


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape[:_AXES])) or "no axes"
