"""Samples of volumes, bicubic samples and pooled volumes have the values and gradients of PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from edgefill.errors import ModelError
from edgefill.export import volumes
from tests.export.agreeing import agree, noise

_MODES, _BORDERS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


@pytest.mark.parametrize("border", range(3))
@pytest.mark.parametrize(("sides", "mode"), [((3, 4, 5), 0), ((3, 4, 5), 1), ((4, 5), 2)])
@pytest.mark.parametrize("align_corners", [True, False])
def test_samples_are_those_of_pytorch(sides, mode, border, align_corners):
    grid = 1.5 * noise(2, 6, *[1] * (len(sides) - 1), len(sides)).detach()
    agree(
        lambda x, at: volumes.grid_sampler(x, at, mode, border, align_corners),
        lambda x, at: F.grid_sample(x, at, _MODES[mode], _BORDERS[border], align_corners),
        noise(2, 3, *sides), grid.requires_grad_(True),
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 2}, {"kernel_size": (2, 3, 1), "stride": 1, "padding": (1, 1, 0)},
     {"kernel_size": 2, "ceil_mode": True}, {"kernel_size": 2, "stride": (1, 2, 1), "dilation": 2}],
)  # fmt: skip
def test_of_equal_numbers_the_first_has_the_gradient(options):
    own = F.max_pool3d
    agree(
        lambda x: volumes.max_pool3d(x.round(), **options) * x.sum(),
        lambda x: own(x.round(), **options) * x.sum(),
        noise(2, 3, 5, 4, 5),
    )
    ties = noise(1, 1, 4, 4, 4).relu().detach().requires_grad_(True)
    agree(lambda x: volumes.max_pool3d(x, **options), lambda x: own(x, **options), ties)


@pytest.mark.parametrize("size", [(3, 5), 2, (None, 4)])
def test_windows_need_not_be_whole(size):
    own, ties = F.adaptive_max_pool2d, noise(2, 3, 7, 6).detach().relu().requires_grad_(True)
    agree(lambda x: volumes.adaptive_max_pool2d(x, size), lambda x: own(x, size), ties)


def test_too_many_samples_of_a_volume_are_refused():
    with pytest.raises(ModelError, match=r"F\.grid_sample makes 100000000 numbers.*fewer points"):
        volumes.grid_sampler(torch.zeros(1, 1, 100, 100, 100), torch.zeros(1, 10**4, 1, 1, 3), 0, 0, True)
