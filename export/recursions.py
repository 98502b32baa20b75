"""The loss of connectionist temporal classification (Graves et al. 2006), step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgefill.errors import ModelError

_NEVER = -1e30  # the logarithm of what cannot be; the difference of two of them is a number


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """−log of the probability of ``targets [N, S]`` under ``log_probs [T, N, C]``, one frame after the other.

    Raises ModelError for targets of another shape.
    """
    if log_probs.dim() != 3 or targets.dim() != 2:
        raise ModelError(
            f"F.ctc_loss of log_probs {list(log_probs.shape)} and targets {list(targets.shape)} cannot be "
            "exported; hand over log_probs [T, N, C] and targets [N, S], filled up to one length"
        )
    frames, lengths = (torch.as_tensor(each) for each in (input_lengths, target_lengths))
    last = _forwards(log_probs, _with_blanks(targets, blank), frames, blank)
    ends = torch.stack([2 * lengths, (2 * lengths - 1).clamp(min=0)], 1)
    both = last.gather(1, ends)
    both = torch.where((lengths > 0)[:, None] | torch.tensor([True, False]), both, _NEVER)
    loss = -torch.logsumexp(both, 1) + _unnoticed(log_probs, frames)
    if zero_infinity:
        loss = torch.where(loss < -_NEVER / 2, loss, torch.zeros_like(loss))
    if reduction == "mean":
        return (loss / lengths.clamp(min=1)).mean()
    return loss.sum() if reduction == "sum" else loss


def _with_blanks(targets: Tensor, blank: int) -> Tensor:
    """A blank before, between and behind the labels: [N, 2·S + 1]."""
    pairs = torch.stack([torch.full_like(targets, blank), targets], 2).flatten(1)
    return torch.cat([pairs, torch.full_like(targets[:, :1], blank)], 1)


def _forwards(log_probs: Tensor, labels: Tensor, frames: Tensor, blank: int) -> Tensor:
    """The logarithm of the probability of all ways to each of ``labels`` in the last frame of each."""
    before = torch.cat([torch.full_like(labels[:, :2], blank), labels[:, :-2]], 1)
    leaps = (labels != blank) & (labels != before)
    place = torch.arange(labels.shape[1])
    ways = torch.where(place < 2, log_probs[0].gather(1, labels), _NEVER)
    for frame in range(1, log_probs.shape[0]):
        by_leap = torch.where(leaps, _moved(ways, 2), _NEVER)
        found = torch.logsumexp(torch.stack([ways, _moved(ways, 1), by_leap]), 0)
        ways = torch.where((frame < frames)[:, None], found + log_probs[frame].gather(1, labels), ways)
    return ways


def _moved(ways: Tensor, places: int) -> Tensor:
    return torch.cat([torch.full_like(ways[:, :places], _NEVER), ways[:, :-places]], 1)


def _unnoticed(log_probs: Tensor, frames: Tensor) -> Tensor:
    """Zero with the slope exp(x): PyTorch's gradient is that of what a softmax is still to be taken of."""
    share = log_probs.exp()
    counted = torch.arange(log_probs.shape[0])[:, None] < frames
    return torch.where(counted, (share - share.detach()).sum(2), 0.0).sum(0)
