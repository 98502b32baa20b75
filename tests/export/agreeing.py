"""What a form of one of PyTorch's functions is held against."""

from __future__ import annotations

import torch


def noise(*shape):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values.requires_grad_(True)


def agree(form, own, *inputs):
    """``form`` and ``own`` have the same values and gradients."""
    found, expected = form(*inputs), own(*inputs)
    torch.testing.assert_close(found, expected)
    weight = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    gradients = (torch.autograd.grad((each * weight).sum(), inputs) for each in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
