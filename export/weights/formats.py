"""What a file of weights is, told by how it begins; loads nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

from edgefill.errors import ModelError

TORCH, SAFETENSORS, OTHER = "a PyTorch file", "a safetensors file", "something else"
TENSORFLOW = "a TensorFlow checkpoint"
TABLE_END = bytes.fromhex("57fb808b247547db")  # of a checkpoint's table
_ZIP, _PICKLE, _OLD_PICKLE = b"PK\x03\x04", b"\x80", b"(dp"
_LONGEST_HEADER = 100_000_000  # of safetensors, by its definition
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")  # of a checkpoint
_LATEST = re.compile(rb'^model_checkpoint_path:\s*"([^"\n]+)"', re.MULTILINE)


def format_of(path: str | Path) -> str:
    """TORCH, SAFETENSORS, TENSORFLOW or OTHER, by how ``path`` begins and ends. Raises ModelError.

    A TensorFlow checkpoint is told by any of its files, by what their names share, or by its folder.
    """
    path = Path(path)
    if index_of(path):
        return TENSORFLOW
    if not path.is_file():
        raise ModelError(f"{path} is no file; expected one with the weights of a network")
    with path.open("rb") as file:
        start = file.read(9)
        file.seek(max(path.stat().st_size - len(TABLE_END), 0))
        end = file.read()
    header = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and 2 <= header <= _LONGEST_HEADER:
        return SAFETENSORS  # its length may begin as a pickle does
    if start.startswith((_ZIP, _PICKLE, _OLD_PICKLE)):
        return TORCH
    return TENSORFLOW if end == TABLE_END else OTHER


def index_of(path: Path) -> Path | None:
    """The index of the TensorFlow checkpoint that ``path`` is of; None where there is none."""
    if path.is_dir():
        path = path / "checkpoint"
    if path.name == "checkpoint" and path.is_file():
        with path.open("rb") as file:
            latest = _LATEST.search(file.read(4096))  # a path on another machine, often
        path = path.parent / Path(latest[1].decode("utf-8", "replace")).name if latest else path
    name = _PART.sub("", path.name)
    index = path.parent / f"{name}.index"
    return index if index.is_file() and (name != path.name or not path.is_file()) else None
