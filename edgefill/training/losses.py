"""The losses of the game, on D's logits: as cross-entropy, and with hinges."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus


def generator_loss(fake: Tensor) -> Tensor:
    """Mean −log D(G(z)) from the logits ``fake [N]`` of generated pictures: the non-saturating form."""
    return softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean −log D(x) − log(1 − D(G(z))) from D's logits ``real [N]`` and ``fake [N]``."""
    return softplus(-real).mean() + softplus(fake).mean()


def hinges(real: Tensor, fake: Tensor) -> Tensor:
    """How far each of D's logits is from being sure: above 1 for ``real``, and below -1 for ``fake``."""
    return relu(1 - real) + relu(1 + fake)
