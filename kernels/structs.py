"""Structs that kernels are given, declared once: as NumPy's dtype and as C++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

_NUMBERS: Mapping[str, np.dtype] = {
    "float": np.dtype(np.float32),
    "int": np.dtype(np.int32),
    "unsigned long long": np.dtype(np.uint64),
}


class Field(NamedTuple):
    """A field of a struct: its C++ type is one of the numbers, a pointer as "const float *", or a Struct."""

    name: str
    kind: str | Struct
    note: str = ""  # what it holds, for whoever reads the C++

    @property
    def dtype(self) -> np.dtype:
        """The same in NumPy, where a pointer is an address."""
        if isinstance(self.kind, Struct):
            return self.kind.dtype
        return np.dtype(np.uint64) if self.kind.endswith("*") else _NUMBERS[self.kind]

    @property
    def cpp(self) -> str:
        """Its line of C++."""
        kind = self.kind.name if isinstance(self.kind, Struct) else self.kind
        line = f"    {kind}{'' if kind.endswith('*') else ' '}{self.name};"
        return f"{line}  // {self.note}" if self.note else line


@dataclass(frozen=True, eq=False)
class Struct:
    """``fields`` under a ``name``, one after another as C++ lays them out."""

    name: str
    fields: Sequence[Field]

    @cached_property
    def dtype(self) -> np.dtype:
        """The same in NumPy."""
        return np.dtype([(field.name, field.dtype) for field in self.fields], align=True)

    @property
    def cpp(self) -> str:
        """Its definition in C++."""
        return "\n".join([f"struct {self.name} {{", *(field.cpp for field in self.fields), "};", ""])

    def filled(self, values: Mapping[str, object]) -> np.ndarray:
        """One such struct, 0-d, with ``values`` by the names of its fields, and of its structs' fields."""
        arguments = np.zeros((), self.dtype)
        for field in self.fields:
            own = field.kind.filled(values) if isinstance(field.kind, Struct) else values[field.name]
            arguments[field.name] = own
        return arguments
