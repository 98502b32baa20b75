"""Projected L-BFGS without a line search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from edgefill.kernels.solvers.solver import Array, Sight, Solver, Suited, Update, along, project, setting
from edgefill.limits import Limits

MOST_PAIRS = 32
"""That are remembered: the kernel has room for so many."""

_TINY = float(np.finfo(np.float32).tiny)
_LEAST_CURVATURE = 1e-6  # of a pair that is kept: the squared cosine of its move and its change


@dataclass(frozen=True)
class LBFGS(Solver):
    """z' = clip(z − d min(1, η √Z / |d|), ±bound) with d = H g; η bounds a step's root mean square.

    H is the inverse Hessian that the last steps imply. There is no line search: the best z so far is kept,
    and only pairs that show curvature are remembered.
    """

    name: ClassVar = "lbfgs"
    own: ClassVar = (
        Array("z_before"),
        Array("gradient_before"),
        Array("moves", ("memory", "z"), note="of the last steps; pair k lies in slot k % memory"),
        Array("changes", ("memory", "z"), note="what they changed in the gradient"),
        Array("curvatures", ("memory",), note="their scalar products"),
        Array("pairs", (), "int", note="kept so far"),
    )
    constants: ClassVar = {"MOST_PAIRS": MOST_PAIRS}

    memory: int = setting(5, Limits(1, MOST_PAIRS), "how many steps the curvature comes from")

    @classmethod
    def suited(cls, start: str) -> Suited:
        """Longer steps where it has farther to go."""
        return Suited(cls(), {"lr": 0.03 if start == "encoder" else 0.05})

    def update(self, sight: Sight) -> Update:
        """The first step has none before it, and what stands for that shows no curvature."""
        moved = (sight.steps > 1)[:, None]
        pairs = remember(
            Pairs.of(sight.own),
            np.where(moved, sight.z - sight.own["z_before"], np.float32(0)),
            np.where(moved, sight.gradient - sight.own["gradient_before"], np.float32(0)),
        )
        z = step(sight.z, direction_of(sight.gradient, pairs), lr=sight.rates["lr"], bound=sight.bound)
        return Update(z, {"z_before": sight.z, "gradient_before": sight.gradient, **pairs._asdict()})


class Pairs(NamedTuple):
    """What is remembered: the moves s = z' − z of the last M steps and the changes y = g' − g they made.

    Pair number k lies in slot k modulo M.
    """

    moves: np.ndarray  # [N, M, Z]
    changes: np.ndarray  # [N, M, Z]
    curvatures: np.ndarray  # [N, M], s·y
    pairs: np.ndarray  # int [N], how many were kept so far

    @classmethod
    def of(cls, own: Mapping[str, np.ndarray]) -> Pairs:
        """Those among a row's arrays."""
        return cls(*(own[name] for name in cls._fields))


def remember(pairs: Pairs, move: np.ndarray, change: np.ndarray) -> Pairs:
    """``pairs`` and a new one, ``move`` and ``change`` [N, Z], in the place of the oldest.

    Only where s·y > 0 and (s·y)² > 10⁻⁶ |s|²|y|²: a pair without curvature would spoil the next steps.
    """
    curvature, squares = along(move, change), along(move, move) * along(change, change)
    shows = (curvature > 0) & (curvature * curvature > np.float32(_LEAST_CURVATURE) * squares)
    memory = pairs.moves.shape[1]
    here = shows[:, None] & (np.arange(memory) == (pairs.pairs % memory)[:, None])
    return Pairs(
        np.where(here[:, :, None], move[:, None], pairs.moves),
        np.where(here[:, :, None], change[:, None], pairs.changes),
        np.where(here, curvature[:, None], pairs.curvatures),
        pairs.pairs + shows.astype(pairs.pairs.dtype),
    )


def direction_of(gradient: np.ndarray, pairs: Pairs) -> np.ndarray:
    """H g, [N, Z]: the gradient times the inverse Hessian that ``pairs`` imply (Nocedal 1980, two loops).

    The Hessian that they correct is γ⁻¹ times the unit matrix, with γ = s·y / |y|² of the newest pair.
    """
    rows, memory = np.arange(len(gradient)), pairs.moves.shape[1]
    direction: np.ndarray = gradient
    walked = []
    for age in range(memory):  # the newest pair first; one that is not there has no share
        slot, there = (pairs.pairs - 1 - age) % memory, pairs.pairs > age
        move, change, curvature = (each[rows, slot] for each in pairs[:3])
        share = np.where(there, along(move, direction) / curvature, np.float32(0))
        direction = direction - share[:, None] * change
        walked.append((there, move, change, curvature, share))
    there, _, change, curvature, _ = walked[0]
    direction = np.where(there, curvature / along(change, change), np.float32(1))[:, None] * direction
    for there, move, change, curvature, share in reversed(walked):
        rest = np.where(there, share - along(change, direction) / curvature, np.float32(0))
        direction = direction + rest[:, None] * move
    return direction


def step(z: np.ndarray, direction: np.ndarray, *, lr: float | np.ndarray, bound: float = 1.0) -> np.ndarray:
    """Next z [N, Z]: z' = clip(z − d min(1, η √Z / |d|), ±bound)."""
    norm = np.sqrt(np.sum(direction * direction, axis=1, keepdims=True))
    longest = lr * np.sqrt(np.float32(z.shape[1]))
    return project(z - direction * np.minimum(np.float32(1), longest / np.maximum(norm, _TINY)), bound)
