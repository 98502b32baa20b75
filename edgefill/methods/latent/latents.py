"""The space that pictures are drawn from and searched in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from edgefill.model.manifest import Manifest

_BOUNDS = {"uniform": 1.0, "normal": 3.0}  # of |z|; a normal z leaves it once in 370 draws


Seed: TypeAlias = int | tuple[int, ...]


class Prior(NamedTuple):
    """What z was drawn from in training, and the cube that the search keeps it in."""

    name: str  # a key of _BOUNDS
    z_dim: int

    @property
    def bound(self) -> float:
        return _BOUNDS[self.name]

    @classmethod
    def of(cls, model: Manifest) -> Prior:
        """The prior of ``model``. Raises ModelError for one that has no latent."""
        latent = model.searched
        return cls(latent.prior, latent.z_dim)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A first z, float32 [Z], in the cube."""
        if self.name == "uniform":
            return rng.uniform(-1, 1, self.z_dim).astype(np.float32)
        return np.clip(rng.standard_normal(self.z_dim, np.float32), -self.bound, self.bound)

    def latents(self, seeds: Sequence[int]) -> np.ndarray:
        """The z of each seed, [N, Z]: the one a completion starts from, and the one that is sampled."""
        return np.stack([self.draw(np.random.default_rng(seed)) for seed in seeds])

    def walk(self, seeds: Sequence[int], frames: int) -> np.ndarray:
        """``frames`` latents from the first seed to the last by way of the others, [frames, Z].

        In a straight line, as the source documents do: a line between two points of the cube that z is
        uniform on stays in it, a great circle leaves it.
        """
        corners = self.latents(seeds)
        places = np.linspace(0, len(seeds) - 1, frames)
        before = np.minimum(places.astype(int), len(seeds) - 2)
        share = (places - before)[:, None].astype(np.float32)
        walk: np.ndarray = (1 - share) * corners[before] + share * corners[before + 1]
        return walk

    def total(self, terms: Sequence[tuple[int, int]]) -> np.ndarray:
        """The sum of sign · z of each (sign, seed) in ``terms``, clipped to the cube, [Z]."""
        signs = np.array([sign for sign, _ in terms], np.float32)
        total = np.sum(signs[:, None] * self.latents([seed for _, seed in terms]), axis=0)
        clipped: np.ndarray = np.clip(total, -self.bound, self.bound)
        return clipped
