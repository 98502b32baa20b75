"""What a solver is. All of one is a file of this room and the kernel beside it; the rest is derived.

A solver is a frozen dataclass: its fields are the settings that are its own, each with its range and a word
on what it does; an object of it is a solver with its numbers. It says which arrays it remembers for each row,
what it draws, what changes from step to step, and how z moves. From that follow the settings of a search and
what they refuse, the state of a search on the host and on a device, and the struct that its kernel is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.structs import Field, Struct
from edgefill.limits import Limits, shown

_BOTH = (False, True)


class Array(NamedTuple):
    """An array of numbers for each row: its name, the sides that a row has, its type, and what it holds.

    A side is "z" for the numbers of a latent, or the name of a setting of the solver.
    """

    name: str
    sides: tuple[str, ...] = ("z",)
    kind: str = "float"  # or "int"
    note: str = ""

    def row(self, z_dim: int, settings: object = None) -> tuple[tuple[int, ...], type[np.generic]]:
        """The shape of a row, and its type."""
        sides = (z_dim if side == "z" else getattr(settings, side) for side in self.sides)
        return tuple(sides), np.int32 if self.kind == "int" else np.float32

    def described(self, rows: str) -> str:
        """Its shape and what it holds, for whoever reads the C++."""
        shape = ", ".join([rows, *("Z" if side == "z" else side for side in self.sides)])
        return f"[{shape}], {self.note}" if self.note else f"[{shape}]"


class Sight(NamedTuple):
    """What an update sees: one row a picture, float32 and int32."""

    z: np.ndarray  # [N, Z], where the loss was evaluated
    loss: np.ndarray  # [N]
    gradient: np.ndarray  # [N, Z]
    steps: np.ndarray  # [N], evaluations so far, this one among them
    rates: np.ndarray  # [N, 1] of the solver's rates, each row's of this step
    own: Mapping[str, np.ndarray]  # the solver's arrays
    drawn: Mapping[str, np.ndarray]  # what it drew before the search, [draws, N, …]
    bound: float  # of |z|


class Update(NamedTuple):
    """What a step makes of each row; rows that stand still keep what they have."""

    z: np.ndarray
    own: Mapping[str, np.ndarray] = {}  # what changes of the solver's arrays


class Suited(NamedTuple):
    """A solver as it suits a start, and what it changes of the other settings of such a search."""

    solver: Solver
    changes: Mapping[str, Any] = {}


def setting(default: Any, limits: Limits | None, what: str) -> Any:
    """A field of a solver: its default, its range (None of what is True or False), and what it does."""
    return field(default=default, metadata={"limits": limits, "what": what})


@dataclass(frozen=True)
class Solver:
    """How z moves from step to step. Raises InputError for numbers beyond their range."""

    name: ClassVar[str]
    own: ClassVar[tuple[Array, ...]] = ()  # what it remembers of a row; 0 before the first step
    drawn: ClassVar[tuple[Array, ...]] = ()  # random numbers that ``draw`` gives
    constants: ClassVar[Mapping[str, int]] = {}  # that its kernel shares with it

    def __post_init__(self) -> None:
        for each in fields(self):
            self._check(each.name, **each.metadata)

    def _check(self, name: str, limits: Limits | None, what: str) -> None:
        value = getattr(self, name)
        try:
            right = limits.hold(value) if limits else value in _BOTH
        except TypeError:
            right = False
        if not right:
            expected = f"a number from {limits}" if limits else "True or False"
            raise InputError(
                f"cannot search with {name} {shown(value)} of {self.name}: expected {expected} ({what})"
            )

    @classmethod
    def suited(cls, start: str) -> Suited:
        """What suits a search from ``start``, "random" or "encoder", where nobody says more."""
        return Suited(cls())

    def rates(self, t: np.ndarray) -> dict[str, np.ndarray]:
        """What changes from step to step beside the learning rate, by name, float64; ``t`` counts from 1."""
        return {}

    def draw(self, rng: np.random.Generator, steps: int, z_dim: int) -> dict[str, np.ndarray]:
        """The ``drawn`` of a row that searches for ``steps``, [draws, …] each."""
        return {}

    def update(self, sight: Sight) -> Update:
        """One step of every row. It is the specification of the kernel."""
        raise NotImplementedError

    def numbers(self) -> dict[str, float]:
        """What the kernel is given of the settings, by name; sums and shares are worked out in float64."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def shapes(self, z_dim: int) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
        """The shape of a row of each of its ``own``, and its type."""
        return {each.name: each.row(z_dim, self) for each in self.own}

    @classmethod
    @cache
    def rate_struct(cls) -> Struct:
        """Of one step: the learning rate, and the solver's ``rates``."""
        names = ("lr", *cls().rates(np.ones(1)))
        return Struct(f"{cls.__name__}Rates", [Field(name, "float") for name in names])

    @classmethod
    @cache
    def struct(cls, common: Struct) -> Struct:
        """The kernel's argument: what is ``common`` to all solvers, and what is this one's own.

        What a number is follows from the solver as it is of itself.
        """
        solver = cls()
        fields_of = [
            Field("search", common),
            Field("rates", f"const {cls.rate_struct().name} *", "[steps]"),
            *(Field(each.name, f"{each.kind} *", each.described("N")) for each in cls.own),
            *(Field(each.name, f"const {each.kind} *", each.described("draws, N")) for each in cls.drawn),
            *(
                Field(name, "float" if isinstance(value, float) else "int")
                for name, value in solver.numbers().items()
            ),
        ]
        return Struct(cls.__name__, fields_of)

    @classmethod
    def kernel(cls) -> str:
        """The name of the kernel that takes a step."""
        return f"{cls.name}_step"

    @classmethod
    def source(cls) -> str:
        """The CUDA C++ of that kernel, which lies beside the solver's own file."""
        return Path(inspect.getfile(cls)).with_suffix(".cu").read_text(encoding="utf-8")


def along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The scalar product of each row, [N]."""
    product: np.ndarray = np.sum(one * other, axis=1)
    return product


def project(z: np.ndarray, bound: float) -> np.ndarray:
    """z in [-bound, bound]."""
    projected: np.ndarray = np.clip(z, -bound, bound)
    return projected
