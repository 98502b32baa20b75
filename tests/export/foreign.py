"""Generators and discriminators as other people write them: one pair per construction that must export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Z = 10


@dataclass(frozen=True)
class Pair:
    """Builders of G and D, and the arguments that ``export_bundle`` needs for them."""

    generator: Callable[[], nn.Module]
    discriminator: Callable[[], nn.Module]
    options: dict[str, object] = field(default_factory=dict)

    def build(self) -> tuple[nn.Module, nn.Module]:
        """Both networks in eval mode, with batch-norm statistics that are not the initial ones."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            generator, discriminator = self.generator(), self.discriminator()
            latent = torch.rand(16, Z) * 2 - 1
            if self.options.get("spatial_z"):
                latent = latent[:, :, None, None]
            with torch.no_grad():
                for _ in range(5):  # Statistics of batch norms, vectors of spectral norms.
                    discriminator(generator(latent))
        return generator.eval(), discriminator.eval()


def stem(channels: int = 8, height: int = 4, width: int = 4) -> list[nn.Module]:
    return [nn.Linear(Z, channels * height * width), nn.Unflatten(1, (channels, height, width))]


def generator(*layers: nn.Module, channels: int = 8, side: tuple[int, int] = (4, 4)) -> nn.Module:
    return nn.Sequential(*stem(channels, *side), *layers, nn.Tanh())


def discriminator(*layers: nn.Module, colours: int = 3, features: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(colours, 8, 3, 1, 1), *layers, nn.Flatten(), nn.Linear(features, 1))


def plain_g(colours: int = 3) -> nn.Module:
    return generator(nn.ReLU(), nn.ConvTranspose2d(8, colours, 4, 2, 1))


def plain_d(colours: int = 3) -> nn.Module:
    return discriminator(nn.LeakyReLU(0.2), nn.Conv2d(8, 8, 4, 2, 1), colours=colours, features=8 * 4 * 4)


def no_linear_g() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(Z, 8, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SelfAttention(nn.Module):
    """The attention of SAGAN: 1×1 convolutions, softmax over positions, a learned gain."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        return x + self.gain * (value @ attention.transpose(1, 2)).view_as(x)


class TransformerBlock(nn.Module):
    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.heads = nn.Linear(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        query, key, value = self.heads(tokens).chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + mixed.transpose(1, 2).view_as(x)


class ConstantOfFloat32(nn.Module):
    """Runs in no other type, so that there are no central differences in float64."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.eye(x.shape[-1]).flip(1)


def upsampling(**options: object) -> Callable[[], nn.Module]:
    return lambda: generator(nn.Upsample(**options), nn.Conv2d(8, 3, 3, 1, 1))


def activated(layer: Callable[[], nn.Module]) -> Pair:
    return Pair(
        lambda: generator(layer(), nn.ConvTranspose2d(8, 3, 4, 2, 1)),
        lambda: discriminator(layer(), nn.Conv2d(8, 8, 4, 2, 1), features=8 * 4 * 4),
    )


def pooled(layer: Callable[[], nn.Module], features: int) -> Pair:
    return Pair(plain_g, lambda: discriminator(nn.LeakyReLU(0.2), layer(), features=features))


PAIRS: dict[str, Pair] = {
    "4×4 kernels, z as N×Z×1×1": Pair(no_linear_g, plain_d, {"spatial_z": True}),
    "5×5 kernels with output padding": Pair(lambda: generator(nn.ConvTranspose2d(8, 3, 5, 2, 2, 1)), plain_d),
    "output padding beyond the padding": Pair(
        lambda: generator(nn.ConvTranspose2d(8, 3, 2, 3, 0, (1, 2))),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 13, 1)),
    ),
    "3×3 stride 2, odd sizes": Pair(
        lambda: generator(nn.ConvTranspose2d(8, 3, 3, 2, 1), side=(5, 5)),
        lambda: discriminator(nn.Conv2d(8, 8, 3, 2), features=8 * 4 * 4),
    ),
    "dilated and grouped": Pair(
        lambda: generator(nn.Conv2d(8, 8, 3, 1, 2, 2, groups=2), nn.ConvTranspose2d(8, 3, 4, 2, 1)),
        lambda: discriminator(nn.Conv2d(8, 8, 3, 2, 1, groups=8), features=8 * 4 * 4),
    ),
    "grouped transposed, batch norm": Pair(
        lambda: generator(
            nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1)
        ),
        plain_d,
    ),
    "a multilayer perceptron": Pair(
        lambda: nn.Sequential(nn.Linear(Z, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 192), nn.Tanh(),
                              nn.Unflatten(1, (3, 8, 8))),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 1)),
    ),
    "nearest upsampling": Pair(upsampling(scale_factor=2), plain_d),
    "nearest upsampling by a fraction": Pair(
        lambda: generator(nn.Upsample(size=(7, 9)), nn.Conv2d(8, 3, 3, 1, 1)),
        lambda: discriminator(nn.ReLU(), features=8 * 63),
    ),
    "bilinear upsampling": Pair(upsampling(scale_factor=2, mode="bilinear"), plain_d),
    "bilinear upsampling, aligned corners": Pair(
        upsampling(scale_factor=2, mode="bilinear", align_corners=True), plain_d
    ),
    "pixel shuffle": Pair(
        lambda: generator(nn.Conv2d(8, 12, 3, 1, 1), nn.PixelShuffle(2)),
        lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 1, 1), nn.Flatten(), nn.Linear(16, 1)),
    ),
    "average pooling": pooled(lambda: nn.AvgPool2d(2), 8 * 16),
    "average pooling, overlapping, padded": pooled(
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), 8 * 25
    ),
    "adaptive average pooling to one": pooled(lambda: nn.AdaptiveAvgPool2d(1), 8),
    "adaptive average pooling, uneven": pooled(lambda: nn.AdaptiveAvgPool2d((3, 5)), 8 * 15),
    "max pooling": pooled(lambda: nn.MaxPool2d(2), 8 * 16),
    "max pooling, overlapping, padded": pooled(lambda: nn.MaxPool2d(3, 2, 1), 8 * 16),
    "max pooling, ceiling": pooled(lambda: nn.MaxPool2d(2, 3, ceil_mode=True), 8 * 9),
    "adaptive max pooling": pooled(lambda: nn.AdaptiveMaxPool2d(2), 8 * 4),
    "instance norm": activated(lambda: nn.InstanceNorm2d(8, affine=True)),
    "group norm": activated(lambda: nn.GroupNorm(2, 8)),
    "SiLU": activated(nn.SiLU),
    "GELU": activated(nn.GELU),
    "GELU, tanh form": activated(lambda: nn.GELU("tanh")),
    "ELU": activated(nn.ELU),
    "PReLU": activated(lambda: nn.PReLU(8)),
    "Mish": activated(nn.Mish),
    "Hardswish": activated(nn.Hardswish),
    "spectral norm": Pair(
        plain_g,
        lambda: nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.utils.spectral_norm(nn.Linear(128, 1)),
        ),
    ),
    "residual adds": Pair(
        lambda: generator(Residual(), nn.ConvTranspose2d(8, 3, 4, 2, 1)),
        lambda: discriminator(Residual(), features=8 * 64),
    ),
    "self-attention": Pair(
        lambda: generator(SelfAttention(), nn.ConvTranspose2d(8, 3, 4, 2, 1)),
        lambda: discriminator(SelfAttention(), features=8 * 64),
    ),
    "transformer attention, layer norm": Pair(
        lambda: generator(TransformerBlock(), nn.ConvTranspose2d(8, 3, 4, 2, 1)), plain_d
    ),
    "a D that ends in a sigmoid": Pair(
        plain_g, lambda: nn.Sequential(plain_d(), nn.Sigmoid()), {"discriminator_output": "sigmoid"}
    ),
    "one channel, a constant of float32": Pair(
        lambda: nn.Sequential(plain_g(1), ConstantOfFloat32()), lambda: plain_d(1)
    ),
    "not square": Pair(
        lambda: generator(nn.ConvTranspose2d(8, 3, 4, 2, 1), side=(4, 7)),
        lambda: discriminator(nn.Conv2d(8, 8, 4, 2, 1), features=8 * 4 * 7),
    ),
}  # fmt: skip
