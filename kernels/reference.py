"""The update rules of the search in NumPy: small pure functions, the specification of every faster kernel.

z, momenta and gradients are float32 [N, Z]; losses and energies float32 [N]. Rows are samples: a row's result
does not depend on the rows beside it, to the bit. Every rule is projected: z stays in [-bound, bound], the
range of the prior. A rate is a number, or float32 [N, 1] where rows are at different steps.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

Rate: TypeAlias = float | np.ndarray
_TINY = float(np.finfo(np.float32).tiny)
_LEAST_CURVATURE = 1e-6  # of a pair that is kept: the squared cosine of its move and its change


def momentum_step(
    z: np.ndarray,
    velocity: np.ndarray,
    gradient: np.ndarray,
    *,
    lr: Rate,
    momentum: float,
    normalise: bool,
    bound: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Next z and velocity, each [N, Z], of projected momentum in Nesterov's form.

    v' = μ v − η g; z' = clip(z − μ v + (1 + μ) v', ±bound). With ``normalise`` each sample's gradient is
    first scaled to unit norm, so that η does not depend on how many pixels the loss sums over.
    """
    if normalise:
        norm = np.sqrt(np.sum(gradient * gradient, axis=1, keepdims=True))
        gradient = gradient / np.maximum(norm, _TINY)
    following = momentum * velocity - lr * gradient
    return _project(z - momentum * velocity + (1 + momentum) * following, bound), following


def adam_step(
    z: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    gradient: np.ndarray,
    *,
    lr: Rate,
    first_correction: Rate,
    second_correction: Rate,
    beta1: float,
    beta2: float,
    eps: float,
    bound: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Next z, first and second moment, each [N, Z], of projected Adam.

    m' = β₁ m + (1 − β₁) g; v' = β₂ v + (1 − β₂) g²; z' = clip(z − η m̂ / (√v̂ + ε), ±bound) with the moments
    corrected for their start at zero: m̂ = m' / (1 − β₁ᵗ), v̂ = v' / (1 − β₂ᵗ) at step t, counted from 1.
    """
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * (gradient * gradient)
    corrected_first = first / first_correction
    corrected_second = second / second_correction
    return _project(z - lr * corrected_first / (np.sqrt(corrected_second) + eps), bound), first, second


class Pairs(NamedTuple):
    """What L-BFGS remembers: the moves s = z' − z of its last M steps and the changes y = g' − g they made.

    Pair number k lies in slot k modulo M.
    """

    moves: np.ndarray  # [N, M, Z]
    changes: np.ndarray  # [N, M, Z]
    curvatures: np.ndarray  # [N, M], s·y
    kept: np.ndarray  # int [N], how many so far


def lbfgs_remember(pairs: Pairs, move: np.ndarray, change: np.ndarray) -> Pairs:
    """``pairs`` and a new one, ``move`` and ``change`` [N, Z], in the place of the oldest.

    Only where s·y > 0 and (s·y)² > 10⁻⁶ |s|²|y|²: a pair without curvature would spoil the next steps.
    """
    curvature, squares = _along(move, change), _along(move, move) * _along(change, change)
    shows = (curvature > 0) & (curvature * curvature > np.float32(_LEAST_CURVATURE) * squares)
    memory = pairs.moves.shape[1]
    here = shows[:, None] & (np.arange(memory) == (pairs.kept % memory)[:, None])
    return Pairs(
        np.where(here[:, :, None], move[:, None], pairs.moves),
        np.where(here[:, :, None], change[:, None], pairs.changes),
        np.where(here, curvature[:, None], pairs.curvatures),
        pairs.kept + shows.astype(pairs.kept.dtype),
    )


def lbfgs_direction(gradient: np.ndarray, pairs: Pairs) -> np.ndarray:
    """H g, [N, Z]: the gradient times the inverse Hessian that ``pairs`` imply (Nocedal 1980, two loops).

    The Hessian that they correct is γ⁻¹ times the unit matrix, with γ = s·y / |y|² of the newest pair.
    """
    rows, memory = np.arange(len(gradient)), pairs.moves.shape[1]
    direction: np.ndarray = gradient
    walked = []
    for age in range(memory):  # the newest pair first; one that is not there has no share
        slot, there = (pairs.kept - 1 - age) % memory, pairs.kept > age
        move, change, curvature = (each[rows, slot] for each in pairs[:3])
        share = np.where(there, _along(move, direction) / curvature, np.float32(0))
        direction = direction - share[:, None] * change
        walked.append((there, move, change, curvature, share))
    there, _, change, curvature, _ = walked[0]
    direction = np.where(there, curvature / _along(change, change), np.float32(1))[:, None] * direction
    for there, move, change, curvature, share in reversed(walked):
        rest = np.where(there, share - _along(change, direction) / curvature, np.float32(0))
        direction = direction + rest[:, None] * move
    return direction


def lbfgs_step(z: np.ndarray, direction: np.ndarray, *, lr: Rate, bound: float = 1.0) -> np.ndarray:
    """Next z [N, Z]: z' = clip(z − d min(1, η √Z / |d|), ±bound). η bounds a step's root mean square.

    There is no line search: the best z so far is kept, and only pairs that show curvature are remembered.
    """
    norm = np.sqrt(np.sum(direction * direction, axis=1, keepdims=True))
    longest = lr * np.sqrt(np.float32(z.shape[1]))
    return _project(z - direction * np.minimum(np.float32(1), longest / np.maximum(norm, _TINY)), bound)


def hmc_half_kick(momentum: np.ndarray, gradient: np.ndarray, *, size: float, beta: Rate) -> np.ndarray:
    """The momentum [N, Z] half a leapfrog step later in the field of β · loss: p' = p − ε/2 · β g."""
    kicked: np.ndarray = momentum - (size / 2 * beta) * gradient
    return kicked


def hmc_drift(z: np.ndarray, momentum: np.ndarray, *, size: float, bound: float = 1.0) -> np.ndarray:
    """The z [N, Z] one leapfrog step later: z' = clip(z + ε p, ±bound)."""
    return _project(z + size * momentum, bound)


def hmc_energy(loss: np.ndarray, momentum: np.ndarray, *, beta: Rate) -> np.ndarray:
    """Potential and kinetic energy [N]: β · loss + |p|² / 2; ``beta`` a number or [N]."""
    energy: np.ndarray = beta * loss + np.sum(momentum * momentum, axis=1) / 2
    return energy


def hmc_accepts(before: np.ndarray, after: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """True [N] where a trajectory's end is taken: with probability min(1, exp(before − after))."""
    accepted: np.ndarray = uniform <= np.exp(np.minimum(before - after, 0))
    return accepted


def _along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The scalar product of each row, [N]."""
    product: np.ndarray = np.sum(one * other, axis=1)
    return product


def _project(z: np.ndarray, bound: float) -> np.ndarray:
    projected: np.ndarray = np.clip(z, -bound, bound)
    return projected
