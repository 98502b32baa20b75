"""Completion networks as other people write and call them: one per construction that must export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefill.model.interface import Input, Interface, Mask, Output, Range
from tests.export.foreign import SelfAttention, TransformerBlock

Layers = Callable[[], "list[nn.Module]"]


@dataclass(frozen=True)
class Foreign:
    """A network, how it is exported, and what its interface has to say then."""

    network: Callable[[], nn.Module]
    reach: int | None
    multiple: int = 1
    smallest: int = 1
    fixed: tuple[int, int] | None = None
    size: int = 32
    options: dict[str, object] = field(default_factory=dict)

    def build(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.network().eval()


class Beside(nn.Module):
    """Layers that take what is known beside the mask, as most networks do."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        return self.layers(torch.cat([picture * known, known], 1))


class UNet(nn.Module):
    """Halved ``depth`` times by strides or by max pooling, and doubled as often, with skips."""

    def __init__(self, depth: int, up: str = "nearest", *, pooled: bool = False, sized: bool = False) -> None:
        super().__init__()
        self.up, self.sized = up, sized
        self.first = nn.Conv2d(4, 4, 3, 1, 1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for _ in range(depth):
            pool = [nn.MaxPool2d(2)] if pooled else []
            self.downs.append(nn.Sequential(nn.Conv2d(4, 4, 3, 2 - len(pool), 1), nn.ReLU(), *pool))
            self.ups.append(nn.Sequential(nn.Conv2d(8, 4, 3, 1, 1), nn.ReLU()))
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        x, skips = self.first(torch.cat([picture * known, known], 1)), []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            size = {"size": skip.shape[2:]} if self.sized else {"scale_factor": 2}
            x = up(torch.cat([F.interpolate(x, mode=self.up, **size), skip], 1))
        return torch.tanh(self.last(x))


class PartialConvolution(nn.Module):
    """Of what is known only, weighted by how much that is (Liu et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.register_buffer("ones", torch.ones(1, 1, kernel, kernel))

    def forward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        count = F.conv2d(known, self.ones, padding=self.ones.shape[-1] // 2)
        there = (count > 0).to(x.dtype)
        return self.layer(x * known) * (self.ones.numel() / count.clamp_min(1)) * there, there


class PartialNetwork(nn.Module):
    """Three partial convolutions; what is known is pasted."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [PartialConvolution(3, 6, 5), PartialConvolution(6, 6, 3), PartialConvolution(6, 3, 3)]
        )

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        x, there = picture, known
        for layer in self.layers:
            x, there = layer(x, there)
        return torch.where(known > 0, picture, torch.tanh(x))


class Gated(nn.Module):
    """A gated convolution (Yu et al., 2019)."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(inputs, 2 * outputs, 3, 1, dilation, dilation)

    def forward(self, x: Tensor) -> Tensor:
        values, gate = self.layer(x).chunk(2, 1)
        return F.elu(values) * torch.sigmoid(gate)


class SpectralBlock(nn.Module):
    """The Fourier unit of LaMa (Suvorov et al., 2022), whose spectra are float32 whatever the rest is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfftn(x.float(), dim=(-2, -1), norm="ortho")
        parts = torch.stack((spectrum.real, spectrum.imag), dim=2).flatten(1, 2).to(x.dtype)
        parts = torch.relu(self.layer(parts)).unflatten(1, (x.shape[1], 2)).float()
        spectrum = torch.complex(parts[:, :, 0].contiguous(), parts[:, :, 1].contiguous())
        return x + torch.fft.irfftn(spectrum, s=x.shape[-2:], dim=(-2, -1), norm="ortho").to(x.dtype)


class SqueezeAndExcite(nn.Module):
    """Channels weighted by the mean of the whole picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.layer(F.adaptive_avg_pool2d(x, 1)))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Placed(nn.Module):
    """Adds what was learned for each place: it takes one size."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.places


class Majority(nn.Module):
    """Looks, by a comparison alone, at whether anything is known within 10 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 3, 3, 1, 1)

    def forward(self, picture: Tensor, known: Tensor) -> Tensor:
        near = F.max_pool2d(known, 21, 1, 10) > 0.5
        return torch.where(near, self.layer(torch.cat([picture, known], 1)), -1.0)


class Joined(nn.Module):
    """Takes one input of four channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(4, 8), nn.LeakyReLU(0.2), conv(8, 3), nn.Tanh())

    def forward(self, seen: Tensor) -> Tensor:
        return self.layers(seen)


class Levels(nn.Module):
    """Takes colours in [0, 1] and a mask of holes, and returns colours in [0, 255]."""

    def __init__(self, mask_channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(3 + mask_channels, 8), nn.ReLU(), conv(8, 3), nn.Sigmoid())

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.layers(torch.cat([image, mask], 1)) * 255


class ChannelsLast(Levels):
    """Takes and returns [N, H, W, C] in [0, 255], with a mask of 255 in the hole."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        first = [each.permute(0, 3, 1, 2) / 255 for each in (image, mask)]
        return super().forward(*first).permute(0, 2, 3, 1)


class Bytes(Levels):
    """Takes and returns uint8, with a mask of 255 where the picture is kept."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        weight = next(self.parameters()).dtype
        values, kept = image.to(weight), mask.to(weight)
        drawn = super().forward(values / 255, kept / 255).round()
        return torch.where(kept > 127, values, drawn).to(torch.uint8)


def conv(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, 1, dilation * (kernel // 2), dilation)


def beside(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The builder of a network of a first convolution, ``layers`` on eight channels and a last one."""
    return lambda: Beside(conv(4, 8), nn.ReLU(), *(each() for each in layers), conv(8, 3), nn.Tanh())


def called(*inputs: Input, **options: object) -> dict[str, object]:
    output = Output(**{"name": "drawn", **options.pop("output", {})})
    return {"interface": Interface(inputs, output, 32, **options)}


MIGAN = called(Input("seen", ("mask", "picture")), mask=Mask(0.5, -0.5))
LAMA = called(
    Input("image", ("picture",)), Input("mask", ("mask",)), range=Range.named("0..1"), mask=Mask(0.0, 1.0),
    output={"range": Range.named("0..255")},
)  # fmt: skip
GMCNN = called(
    Input("image", ("picture",), "NHWC"), Input("mask", ("mask",), "NHWC"), range=Range.named("0..255"),
    order="BGR", mask=Mask(0.0, 255.0), sees="white",
    output={"layout": "NHWC", "range": Range.named("0..255")},
)  # fmt: skip
IMAGENET = called(
    Input("image", ("picture",)), Input("mask", ("mask",)), mask=Mask(channels=3),
    range=Range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), output={"range": Range.named("0..255")},
)  # fmt: skip
BYTES = called(
    Input("image", ("picture",), dtype="uint8"), Input("mask", ("mask",), dtype="uint8"),
    range=Range.named("0..255"), mask=Mask(255.0, 0.0),
    output={"dtype": "uint8", "range": Range.named("0..255"), "pasted": True},
)  # fmt: skip

NETWORKS: dict[str, Foreign] = {
    "dilated convolutions": Foreign(beside(partial(conv, 8, 8, 5, 8)), reach=18),
    "kernels that are no squares": Foreign(beside(lambda: nn.Conv2d(8, 8, (1, 7), 1, (0, 3))), reach=5),
    "reflected borders": Foreign(
        beside(lambda: nn.ReflectionPad2d(3), lambda: nn.Conv2d(8, 8, 7)), reach=5, smallest=4
    ),
    "halvings by max pooling": Foreign(partial(UNet, 2, pooled=True), reach=12, multiple=4, smallest=4),
    "three halvings": Foreign(partial(UNet, 3), reach=24, multiple=8, smallest=8),
    "five halvings, bilinear": Foreign(
        partial(UNet, 5, "bilinear"), reach=128, multiple=32, smallest=32, size=64
    ),
    "as large as what is skipped": Foreign(partial(UNet, 2, sized=True), reach=12, multiple=4, smallest=4),
    "transposed convolutions": Foreign(
        beside(lambda: nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU, lambda: nn.ConvTranspose2d(8, 8, 4, 2, 1)),
        reach=6, multiple=2, smallest=2,
    ),
    "pixel shuffle": Foreign(
        beside(lambda: nn.PixelUnshuffle(4), partial(conv, 128, 128), lambda: nn.PixelShuffle(4)),
        reach=12, multiple=4, smallest=4,
    ),
    "partial convolutions": Foreign(PartialNetwork, reach=4),
    "gated convolutions": Foreign(beside(partial(Gated, 8, 8), partial(Gated, 8, 8, 4)), reach=7),
    "layer norm of each pixel": Foreign(beside(partial(ChannelNorm, 8)), reach=2),
    "instance norm": Foreign(beside(partial(nn.InstanceNorm2d, 8, affine=True)), reach=None, smallest=2),
    "group norm": Foreign(beside(partial(nn.GroupNorm, 2, 8)), reach=None),
    "global pooling": Foreign(beside(partial(SqueezeAndExcite, 8)), reach=None),
    "global attention": Foreign(
        beside(lambda: nn.PixelUnshuffle(4), partial(SelfAttention, 128), lambda: nn.PixelShuffle(4)),
        reach=None, multiple=4, smallest=4,
    ),
    "a transformer block": Foreign(beside(partial(TransformerBlock, 8)), reach=None),
    "Fourier convolutions": Foreign(
        beside(partial(SpectralBlock, 8)), reach=None, fixed=(32, 32), options={"fixed": True}
    ),
    "a number for each place": Foreign(beside(partial(Placed, 8, 32)), reach=None, fixed=(32, 32)),
    "a comparison that looks farther": Foreign(Majority, reach=16),
    "joined, as MI-GAN": Foreign(Joined, reach=2, options=MIGAN),
    "0 to 1 and holes, as LaMa": Foreign(Levels, reach=2, options=LAMA),
    "channels last and BGR, as GMCNN": Foreign(ChannelsLast, reach=2, options=GMCNN),
    "means and a mask of three channels": Foreign(partial(Levels, 3), reach=2, options=IMAGENET),
    "bytes": Foreign(Bytes, reach=None, options=BYTES),
}  # fmt: skip
