"""Generators and discriminators as public programs write them, tiny, with statistics of a training."""

from __future__ import annotations

import torch
from torch import nn

Z = 8


class Wrapped(nn.Module):
    """The official tutorial's: everything in ``main``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x):
        return self.main(x)


def tutorial_g(channels: int = 3, act=lambda: nn.ReLU(True)) -> nn.Module:
    """16×16 pictures of z [N, Z, 1, 1]."""
    return Wrapped(
        nn.ConvTranspose2d(Z, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), act(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), act(),
        nn.ConvTranspose2d(8, channels, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip


def tutorial_d(channels: int = 3) -> nn.Module:
    return Wrapped(
        nn.Conv2d(channels, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(16, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    )  # fmt: skip


def linear_g(*, flat_norm: bool, kernel: int = 5, act=nn.ReLU) -> nn.Module:
    """28×28 grey pictures of z [N, Z], from maps of 7×7."""
    norms = [nn.BatchNorm1d(6 * 49)] if flat_norm else []
    maps = [] if flat_norm else [nn.BatchNorm2d(6)]
    padding, extra = (kernel - 1) // 2, kernel % 2
    return nn.Sequential(
        nn.Linear(Z, 6 * 49), *norms, nn.Unflatten(1, (6, 7, 7)), *maps, act(),
        nn.ConvTranspose2d(6, 4, kernel, 2, padding, extra), nn.BatchNorm2d(4), act(),
        nn.ConvTranspose2d(4, 1, kernel, 2, padding, extra), nn.Tanh(),
    )  # fmt: skip


def linear_d() -> nn.Module:
    """Of 28×28 grey pictures."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, 2), nn.LeakyReLU(0.2), nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(6 * 49, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1),
    )  # fmt: skip


def as_trained(network: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """``network`` in eval mode, with large weights and statistics of the ``inputs``."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for layer in network.modules():
            if isinstance(layer, (nn.ConvTranspose2d, nn.Conv2d, nn.Linear)):
                nn.init.normal_(layer.weight, 0.0, 0.2)
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                nn.init.normal_(layer.weight, 1.0, 0.2)
                nn.init.normal_(layer.bias, 0.0, 0.2)
                layer.momentum = None  # all that it has seen counts alike
        network.train()
        network(*inputs)
    return network.eval()


def latents(prior: str = "normal", count: int = 512, *, spatial: bool = False) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    if prior == "normal":
        z = torch.randn(count, Z, generator=random)
    else:
        z = torch.rand(count, Z, generator=random) * 2 - 1
    return z[:, :, None, None] if spatial else z


def tutorial(prior: str = "normal", **options) -> tuple[nn.Module, nn.Module]:
    """The tutorial's G and D."""
    G = as_trained(tutorial_g(**options), latents(prior, spatial=True))
    with torch.no_grad():
        return G, as_trained(tutorial_d(), G(latents(prior, spatial=True)))
