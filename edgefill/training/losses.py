"""The two losses of the game, as cross-entropy on D's logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def generator_loss(fake: Tensor) -> Tensor:
    """Mean −log D(G(z)) from the logits ``fake [N]`` of generated pictures: the non-saturating form."""
    return softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean −log D(x) − log(1 − D(G(z))) from D's logits ``real [N]`` and ``fake [N]``."""
    return softplus(-real).mean() + softplus(fake).mean()
