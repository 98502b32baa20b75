"""Quantisation as networks are trained for it is that of PyTorch."""

from __future__ import annotations

import pytest
import torch

from edgefill.errors import ModelError
from edgefill.export.decompositions import quantisation

aten = torch.ops.aten
X = 2 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
SCALES, POINTS = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0, 1, 2, 3], dtype=torch.int32)


def test_levels_of_a_tensor_and_of_its_channels():
    expected = aten.fake_quantize_per_tensor_affine_cachemask(X, 0.1, 3, 0, 15)
    torch.testing.assert_close(quantisation.per_tensor(X, 0.1, 3, 0, 15), expected)
    for enabled in (torch.ones(1), torch.zeros(1)):
        given = (X, SCALES[:1], POINTS[1:2], enabled, 0, 15)
        expected = aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams(*given)
        torch.testing.assert_close(quantisation.by_tensors(*given), expected)
    for points in (POINTS, POINTS + 0.3):
        expected = aten.fake_quantize_per_channel_affine_cachemask(X, SCALES, points, 1, -8, 7)
        torch.testing.assert_close(quantisation.per_channel(X, SCALES, points, 1, -8, 7), expected)


def test_gradient_of_channels_goes_straight_through():
    grads = []
    for function in (quantisation.fake_quantize_per_channel, torch.fake_quantize_per_channel_affine):
        x = X.clone().requires_grad_(True)
        grads += torch.autograd.grad(function(x, SCALES, POINTS, 1, -8, 7).square().sum(), x)
    torch.testing.assert_close(*grads)


def test_observer_that_is_off_leaves_the_levels_and_one_that_is_on_is_refused():
    on, off, ranges = torch.ones(1), torch.zeros(1), (torch.zeros(4), torch.ones(4))
    found = quantisation.observed(X, off, on, *ranges, SCALES, POINTS, 0.01, -8, 7, 1, True)
    torch.testing.assert_close(found, quantisation.per_channel(X, SCALES, POINTS, 1, -8, 7))
    with pytest.raises(ModelError, match="disable_observer"):
        quantisation.observed(X, on, on, *ranges, SCALES, POINTS, 0.01, -8, 7, 1)
