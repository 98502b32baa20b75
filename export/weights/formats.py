"""What a file of weights is, told by how it begins; loads nothing heavy."""

from __future__ import annotations

from pathlib import Path

from edgefill.errors import ModelError

TORCH, SAFETENSORS, OTHER = "a PyTorch file", "a safetensors file", "something else"
_ZIP, _PICKLE, _OLD_PICKLE = b"PK\x03\x04", b"\x80", b"(dp"
_LONGEST_HEADER = 100_000_000  # of safetensors, by its definition


def format_of(path: str | Path) -> str:
    """TORCH, SAFETENSORS or OTHER, by the first bytes of the file ``path``. Raises ModelError."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path} is no file; expected one with the weights of a network")
    with path.open("rb") as file:
        start = file.read(9)
    header = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and 2 <= header <= _LONGEST_HEADER:
        return SAFETENSORS  # its length may begin as a pickle does
    if start.startswith((_ZIP, _PICKLE, _OLD_PICKLE)):
        return TORCH
    return OTHER
