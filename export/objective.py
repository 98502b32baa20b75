"""The completion objective: how well G(z) fits the known pixels, and how real D finds it.

Written once, here; the step graph of a bundle is this function and its gradients with respect to z.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefill.errors import ModelError

DiscriminatorOutput = Literal["logit", "sigmoid"]
# A probability is read as a logit no further from 0 than this: beyond, the type has no digits left, and the
# slope of the logit, exp(15) or exp(9), must fit the type that carries the gradient into D.
_SURE = {torch.float16: 9.0}
_SURE_BY_DEFAULT = 15.0


@dataclass(frozen=True)
class Completion:
    """G, D if there is one, and the shapes that connect them.

    ``block`` is the side of the pixel blocks whose means lowres completion fits; it divides the picture's.
    ``spatial_z`` hands z to G as N×Z×1×1; ``discriminator_output`` says what D ends in.
    ``picture_range`` is what G's values and D's mean black and white; here they are -1 and 1.
    """

    generator: nn.Module
    discriminator: nn.Module | None
    block: int = 8
    spatial_z: bool = False
    discriminator_output: DiscriminatorOutput = "logit"
    dtype: torch.dtype = torch.float32  # What G and D compute in; everything around them is float32.
    picture_range: tuple[float, float] = (-1.0, 1.0)

    def generate(self, z: Tensor) -> Tensor:
        """G(z), [N, C, H, W] in [-1, 1], from z [N, Z]."""
        latent = z.to(self.dtype)
        drawn = self.generator(latent[:, :, None, None] if self.spatial_z else latent)
        picture = _tensor(drawn, "G", "pictures [N, C, H, W]").to(z.dtype)
        black, white = self.picture_range
        return picture if self._is_plain else (picture - black) * (2.0 / (white - black)) - 1.0

    def logit(self, picture: Tensor) -> Tensor:
        """D's logit, [N], of pictures [N, C, H, W] in [-1, 1]; positive means real."""
        assert self.discriminator is not None
        black, white = self.picture_range
        own = picture if self._is_plain else (picture + 1.0) * ((white - black) / 2.0) + black
        said = self.discriminator(own.to(self.dtype))
        output = _tensor(said, "D", "logits [N] or [N, 1]").to(picture.dtype)
        score = output.reshape(picture.shape[0], -1).squeeze(1)  # (N,) from (N,), (N, 1) or (N, 1, 1, 1)
        if self.discriminator_output == "sigmoid":
            edge = 1.0 / (1.0 + math.exp(_SURE.get(self.dtype, _SURE_BY_DEFAULT)))
            score = torch.logit(score.clamp(edge, 1.0 - edge))
        return score

    @property
    def networks(self) -> list[nn.Module]:
        """G, and D if there is one."""
        return [each for each in (self.generator, self.discriminator) if each is not None]

    def in_type(self, dtype: torch.dtype) -> Completion:
        """The same with copies of the networks that compute in ``dtype``."""
        generator, discriminator = (
            copy.deepcopy(each).to(dtype) if each is not None else None
            for each in (self.generator, self.discriminator)
        )
        assert generator is not None
        return replace(self, generator=generator, discriminator=discriminator, dtype=dtype)

    @property
    def _is_plain(self) -> bool:
        return self.picture_range == (-1.0, 1.0)

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
        fit, parts = self.fit(z, target, weight, block_weight, power, anchor, pull)
        perceptual = self.perceptual(parts["generated"])
        return fit + lam * perceptual, {**parts, "perceptual": perceptual, "fit": fit}

    @property
    def searched(self) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        """What a search minimises: ``objective``, or ``fit`` where there is no D."""
        return self.fit if self.discriminator is None else self.objective

    def fit(
        self,
        z: Tensor,
        target: Tensor,
        weight: Tensor,
        block_weight: Tensor,
        power: Tensor,
        anchor: Tensor,
        pull: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective without D: contextual + pull·|z − anchor|² per sample, and its parts by name."""
        generated = self.generate(z)
        contextual = self.contextual(generated, target, weight, block_weight, power)
        parts = {"generated": generated, "contextual": contextual}
        return contextual + pull * (z - anchor).square().sum(1), parts


def _tensor(output: object, network: str, expected: str) -> Tensor:
    """``output``. Raises ModelError where a network returns several things, or none."""
    if not isinstance(output, Tensor):
        raise ModelError(
            f"{network} returned a {type(output).__name__}; expected one tensor, {expected}: hand over a "
            "module whose forward picks it out of what yours returns, or puts its parts together"
        )
    return output


def _weighted_sum(difference: Tensor, weight: Tensor, power: Tensor) -> Tensor:
    """Σ weight·|d|^power per sample: power 1 gives |d|, power 2 gives d², without a pow in the graph."""
    squared = (power - 1.0)[:, None, None, None]
    magnitude = difference.abs()
    return (weight * magnitude * (1.0 + squared * (magnitude - 1.0))).sum((1, 2, 3))
