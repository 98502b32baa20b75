"""The completion objective: how well G(z) fits the known pixels, and how real D finds it.

Written once, here; the step graph of a bundle is this function and its gradients with respect to z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DiscriminatorOutput = Literal["logit", "sigmoid"]
# A probability is read as a logit no further from 0 than this: beyond, the type has no digits left, and the
# slope of the logit, exp(15) or exp(9), must fit the type that carries the gradient into D.
_SURE = {torch.float16: 9.0}
_SURE_BY_DEFAULT = 15.0


@dataclass(frozen=True)
class Completion:
    """G, D and the shapes that connect them.

    ``block`` is the side of the pixel blocks whose means lowres completion fits; it divides the picture's.
    ``spatial_z`` hands z to G as N×Z×1×1; ``discriminator_output`` says what D ends in.
    """

    generator: nn.Module
    discriminator: nn.Module
    block: int = 8
    spatial_z: bool = False
    discriminator_output: DiscriminatorOutput = "logit"
    dtype: torch.dtype = torch.float32  # What G and D compute in; everything around them is float32.

    def generate(self, z: Tensor) -> Tensor:
        """G(z), [N, C, H, W] in [-1, 1], from z [N, Z]."""
        latent = z.to(self.dtype)
        return self.generator(latent[:, :, None, None] if self.spatial_z else latent).to(z.dtype)

    def logit(self, picture: Tensor) -> Tensor:
        """D's logit, [N], of pictures [N, C, H, W] in [-1, 1]; positive means real."""
        output = self.discriminator(picture.to(self.dtype)).to(picture.dtype)
        score = output.reshape(picture.shape[0], -1).squeeze(1)  # (N,) from (N,), (N, 1) or (N, 1, 1, 1)
        if self.discriminator_output == "sigmoid":
            edge = 1.0 / (1.0 + math.exp(_SURE.get(self.dtype, _SURE_BY_DEFAULT)))
            score = torch.logit(score.clamp(edge, 1.0 - edge))
        return score

    def contextual(
        self, generated: Tensor, target: Tensor, weight: Tensor, block_weight: Tensor, power: Tensor
    ) -> Tensor:
        """Σ weight·|G(z) − y|^power over pixels, plus the same over block means; one number per sample.

        Yeh et al. 2017, equation 4, with the sum of the reference implementation; ``power`` is 1 or 2.
        """
        difference = generated - target
        block_means = difference.unflatten(3, (-1, self.block)).unflatten(2, (-1, self.block)).mean((3, 5))
        return _weighted_sum(difference, weight, power) + _weighted_sum(block_means, block_weight, power)

    def perceptual(self, generated: Tensor) -> Tensor:
        """−log D(G(z)) = softplus(−logit), the non-saturating form; one number per sample."""
        return F.softplus(-self.logit(generated))

    def objective(
        self,
        z: Tensor,
        target: Tensor,
        weight: Tensor,
        block_weight: Tensor,
        power: Tensor,
        lam: Tensor,
        anchor: Tensor,
        pull: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """contextual + λ·perceptual + pull·|z − anchor|² per sample, and its parts by name.

        ``fit`` is all of it but D's part, which a search with λ = 0 does not have to compute.
        """
        generated = self.generate(z)
        contextual = self.contextual(generated, target, weight, block_weight, power)
        fit = contextual + pull * (z - anchor).square().sum(1)
        perceptual = self.perceptual(generated)
        parts = {"generated": generated, "contextual": contextual, "perceptual": perceptual, "fit": fit}
        return fit + lam * perceptual, parts


def _weighted_sum(difference: Tensor, weight: Tensor, power: Tensor) -> Tensor:
    """Σ weight·|d|^power per sample: power 1 gives |d|, power 2 gives d², without a pow in the graph."""
    squared = (power - 1.0)[:, None, None, None]
    magnitude = difference.abs()
    return (weight * magnitude * (1.0 + squared * (magnitude - 1.0))).sum((1, 2, 3))
