"""What no shape tells of a G, found out by what its batch norms remember of its training.

A batch norm keeps the mean and the variance of what came in. Run with another prior, or with other
activations than in training, the layers before it give others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefill.export.weights.dcgan import Shape, build_generator
from edgefill.export.weights.layers import NORM, Layer
from edgefill.methods.latent.latents import Prior
from edgefill.model.manifest import PRIORS

USUAL = "normal"  # the prior of the official tutorial
_SLOPES = (0.0, 0.2)
_NUMBERS, _ROWS = 2**24, (16, 2048)  # of the largest maps together, and how many z at least and at most


@dataclass(frozen=True)
class Assumption:
    """The prior of z and the slope of G's activations; ``misfit`` is None where nothing tells.

    ``known`` is whether they are those of the one program that writes such files.
    """

    prior: str
    slope: float
    misfit: float | None = None
    known: bool = False


def assumed(layers: Sequence[Layer], where: str, prior: str | None) -> Assumption:
    """What fits the statistics of the batch norms in ``layers`` best; ``prior`` is what is told of it."""
    if not _remember(layers):
        return Assumption(prior or USUAL, 0.0)
    tried = []
    for slope in _SLOPES:
        network, shape = build_generator(layers, where, slope)
        for each in (prior,) if prior else PRIORS:
            z = torch.from_numpy(Prior(each, shape.z_dim).latents(range(_rows(shape))))
            misfit = _misfit(network, z[:, :, None, None] if shape.spatial_z else z)
            tried.append(Assumption(each, slope, misfit))
    return min(tried, key=lambda each: each.misfit or 0.0)


def _rows(shape: Shape) -> int:
    """How many z: the more, the less their statistics owe to chance."""
    least, most = _ROWS
    return max(least, min(most, _NUMBERS // (shape.maps[-2] * (shape.side // 2) ** 2)))


def _remember(layers: Sequence[Layer]) -> bool:
    """Whether any batch norm has seen anything."""
    return any(bool(layer.tensors["running_mean"].any()) for layer in layers if layer.kind == NORM)


def _misfit(network: nn.Module, z: Tensor) -> float:
    """How far what comes into the batch norms is from what they remember, 0 where it is the same.

    The mean over their channels: squared difference of the means in deviations, and of the variances' logs.
    ``network`` is of no use afterwards.
    """
    found: list[Tensor] = []

    def compare(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].transpose(0, 1).flatten(1), 1)
        known = norm.running_var + norm.eps
        shift = (mean - norm.running_mean).square() / known
        found.append((shift + ((variance + norm.eps) / known).log().square()).mean())

    for norm in network.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.register_forward_pre_hook(compare)
            norm.momentum = 0.0
            norm.train()  # what one layer gives otherwise does not go on to the next
    with torch.no_grad():
        network(z)
    return float(torch.stack(found).mean())
