"""A normal distribution of any number of values, and what is left of it where some of them are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Normal(NamedTuple):
    """A normal distribution of n numbers."""

    mean: np.ndarray  # [n]
    covariance: np.ndarray  # [n, n]

    @classmethod
    def of(cls, rows: np.ndarray, noise: float = 0.0) -> Normal:
        """The one that ``rows [N, n]`` look drawn from; each number has ``noise``, a deviation, by itself."""
        return cls(rows.mean(0), np.cov(rows.T) + noise**2 * np.eye(rows.shape[1]))

    def density(self, x: np.ndarray) -> np.ndarray:
        """How likely each of ``x [..., n]`` is, beside others."""
        away = x - self.mean
        squared = (away * np.linalg.solve(self.covariance, away[..., None])[..., 0]).sum(-1)
        return np.exp(-squared / 2) / np.sqrt(np.linalg.det(2 * np.pi * self.covariance))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` samples, [count, n]."""
        root = np.linalg.cholesky(self.covariance)
        return self.mean + rng.standard_normal((count, len(self.mean))) @ root.T

    def given(self, known: np.ndarray, values: np.ndarray) -> Normal:
        """The distribution of the other numbers where those that are ``known [n]`` (bool) have ``values``.

        Of several rows of values [N, k] it has a mean each, [N, n - k], and one covariance.
        """
        among_known, between = self.covariance[known][:, known], self.covariance[known][:, ~known]
        gain = np.linalg.solve(among_known, between)
        mean = self.mean[~known] + (values - self.mean[known]) @ gain
        return Normal(mean, self.covariance[~known][:, ~known] - between.T @ gain)
