"""The update rules of the search in NumPy: small pure functions, the specification of every faster kernel.

z, momenta and gradients are float32 [N, Z]; losses and energies float32 [N]. Rows are samples: a row's result
does not depend on the rows beside it, to the bit. Every rule is projected: z stays in [-bound, bound], the
range of the prior. A rate is a number, or float32 [N, 1] where rows are at different steps.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Rate: TypeAlias = float | np.ndarray
_TINY = float(np.finfo(np.float32).tiny)


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


def _project(z: np.ndarray, bound: float) -> np.ndarray:
    projected: np.ndarray = np.clip(z, -bound, bound)
    return projected
