"""The average of a network over its last updates, which is better than any one of them."""

from __future__ import annotations

import torch
from torch import nn

from edgefill.networks.dcgan import draw_latents

_BATCHES = 32


@torch.no_grad()
def update_average(G_ema: nn.Module, G: nn.Module, decay: float, step: int) -> None:
    """Moves the weights of ``G_ema`` towards those of ``G`` by 1 − decay, and by more in the first steps."""
    decay = _early(decay, step)
    for average, weight in zip(G_ema.parameters(), G.parameters(), strict=True):
        average.lerp_(weight, 1 - decay)


@torch.no_grad()
def update_statistics(E_ema: nn.Module, E: nn.Module, decay: float, step: int) -> None:
    """Moves the statistics of the batch norms of ``E_ema`` towards those of ``E`` as its weights are moved.

    An encoder sees pictures, not latents: there is nothing to fit them to later.
    """
    decay = _early(decay, step)
    for average, statistic in zip(E_ema.buffers(), E.buffers(), strict=True):
        if average.is_floating_point():
            average.lerp_(statistic, 1 - decay)
        else:
            average.copy_(statistic)  # the number of batches


def _early(decay: float, step: int) -> float:
    """``decay``, or less in the first steps, when what was averaged so far is still far off."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def fit_batch_norms(G_ema: nn.Module, z_dim: int, batch: int) -> None:
    """Measures the statistics of the batch norms of ``G_ema`` anew; leaves it in eval mode.

    Averaged weights have activations of their own: the running statistics of G, averaged or not, do not fit
    them and give grey pictures. The latents are always the same, so that nothing else in a training depends
    on when this runs.
    """
    norms = [layer for layer in G_ema.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # A plain mean over all batches.
    random = torch.Generator().manual_seed(0)
    device = next(G_ema.parameters()).device
    G_ema.train()
    for _ in range(_BATCHES):
        G_ema(draw_latents(batch, z_dim, random).to(device))
    G_ema.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
