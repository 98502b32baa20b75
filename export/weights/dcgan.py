"""The layers of a usual DCGAN, their widths and strides derived from the shapes of its tensors.

G doubles the side of its maps by transposed convolutions, D halves it by plain ones. What no shape tells is
usual too: ReLU in G and tanh at its end, a slope of 0.2 in D, batch norms with an epsilon of 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.export.weights.layers import CONVOLUTION, LINEAR, NORM, Layer

_SLOPE = 0.2  # of D's LeakyReLU
_OTHERWISE = "; for other networks there is edgefill.export.export_bundle in Python"


@dataclass(frozen=True)
class Shape:
    """What the tensors of a G say of it."""

    z_dim: int
    channels: int
    side: int
    spatial_z: bool  # whether z is N×Z×1×1
    maps: tuple[int, ...]  # channels of its maps, from z on

    def __str__(self) -> str:
        maps = "-".join(map(str, self.maps))
        return f"z of {self.z_dim} numbers, maps of {maps} channels, pictures of {self.side}×{self.side}"


class Crop(nn.Module):
    """Maps without their last row and their last column."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :-1, :-1]


class _Chain:
    """Modules one by one, and what comes out of the last.

    With ``same`` borders are TensorFlow's SAME: of a number of pixels that is odd, the end gets one more.
    """

    def __init__(self, where: str, features: int, side: int | None, same: bool) -> None:
        self.where, self.features, self.side, self.same = where, features, side, same
        self.modules: list[nn.Module] = []
        self._crops = False

    def add(self, module: nn.Module, layer: Layer) -> None:
        """``module`` with the weights of ``layer``, which must fit."""
        expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        for name, tensor in layer.tensors.items():
            if name in expected and expected[name] != tuple(tensor.shape):
                self.refuse(layer, f"its {name} of {tuple(tensor.shape)}, where {expected[name]} fits")
        module.load_state_dict(layer.tensors, strict=False)
        self.modules.append(module)

    def refuse(self, layer: Layer, why: str) -> NoReturn:
        raise ModelError(f"{self.where}: {layer} does not fit: {why}{_OTHERWISE}")

    def linear(self, layer: Layer) -> None:
        outputs, inputs = layer.shape
        self.crop()
        if self.side:
            self.modules.append(nn.Flatten())
            self.features, self.side = self.features * self.side**2, None
        if inputs != self.features:
            self.refuse(layer, f"it takes {inputs} numbers, where {self.features} come in")
        self.add(nn.Linear(inputs, outputs, bias=layer.bias is not None), layer)
        self.features = outputs

    def norm(self, layer: Layer) -> None:
        (features,) = layer.shape
        if features != self.features:
            self.refuse(layer, f"it is of {features} channels, where {self.features} come in")
        kind = nn.BatchNorm2d if self.side else nn.BatchNorm1d
        self.add(kind(features, affine="weight" in layer.tensors), layer)

    def unflatten(self, channels: int, layer: Layer) -> None:
        """What a linear layer made, as maps for ``layer``, which takes ``channels``."""
        side = math.isqrt(self.features // channels)
        if side < 1 or side**2 * channels != self.features:
            self.refuse(layer, f"{self.features} numbers come in, which are no square maps of {channels}")
        self.modules.append(nn.Unflatten(1, (channels, side, side)))
        self.features, self.side = channels, side

    def doubling(self, layer: Layer) -> None:
        """A transposed convolution: the first on z makes maps as large as its kernel, others double."""
        assert self.side
        self.crop()
        inputs, outputs, kernel, width = layer.shape
        if inputs != self.features or kernel != width:
            self.refuse(layer, f"a transposed one with a square kernel takes {self.features} channels here")
        is_first = self.side == 1
        stride, padding, extra = (1, 0, 0) if is_first else (2, max(kernel - 1, 0) // 2, kernel % 2)
        if self.same and extra:
            padding, extra, self._crops = padding - 1, 0, True
        if not is_first and kernel < 2:
            self.refuse(layer, "a kernel of 1 cannot double a map")
        module = nn.ConvTranspose2d(
            inputs, outputs, kernel, stride, padding, extra, bias=layer.bias is not None
        )
        self.add(module, layer)
        self.features, self.side = outputs, kernel if is_first else 2 * self.side

    def crop(self) -> None:
        """What a convolution drew too much goes behind its batch norm, which is folded into it, and ReLU."""
        if self._crops:
            self.modules.append(Crop())
        self._crops = False

    def halving(self, layer: Layer, *, is_last: bool) -> None:
        """A convolution: the last one spans all of its maps, others halve."""
        assert self.side
        outputs, inputs, kernel, width = layer.shape
        if inputs != self.features or kernel != width:
            self.refuse(layer, f"one with a square kernel takes {self.features} channels here")
        if is_last and (outputs, kernel) != (1, self.side):
            self.refuse(layer, f"the last has 1 output and spans the maps of {self.side}×{self.side}")
        stride, padding = (1, 0) if is_last else (2, (kernel - 1) // 2)
        if self.same and not is_last and kernel % 2 and self.side % 2 == 0:
            before, padding = max(padding - 1, 0), 0
            self.modules.append(nn.ZeroPad2d((before, kernel - 2 - before) * 2))
            self.side += kernel - 2
        side = (self.side + 2 * padding - kernel) // stride + 1
        if side < 1:
            self.refuse(layer, f"maps of {self.side}×{self.side} come in")
        self.add(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=layer.bias is not None), layer)
        self.features, self.side = outputs, side


def build_generator(
    layers: Sequence[Layer], where: str, slope: float = 0.0, *, same: bool = False
) -> tuple[nn.Module, Shape]:
    """G in eval mode, and its shape; ``slope`` is that of its activations below 0. Raises ModelError.

    ``same`` is whether the borders of its maps are TensorFlow's.
    """
    weights = [layer for layer in layers if layer.kind != NORM]
    if len(weights) < 2 or layers[0].kind == NORM or weights[-1].kind != CONVOLUTION:
        raise ModelError(
            f"{where} is no generator of a DCGAN: it has {_shown(layers)}; expected a first layer that takes "
            f"z and transposed convolutions after it{_OTHERWISE}"
        )
    first = weights[0]
    spatial = first.kind == CONVOLUTION
    z_dim = first.shape[0 if spatial else 1]
    chain, maps = _Chain(where, z_dim, 1 if spatial else None, same), [z_dim]
    for index, layer in enumerate(layers):
        if layer.kind == LINEAR:
            chain.linear(layer)
        elif layer.kind == CONVOLUTION:
            if not chain.side:
                chain.unflatten(layer.shape[0], layer)
            chain.doubling(layer)
        else:
            _unflattened_before(chain, layers, index)
            chain.norm(layer)
        if layer.kind != NORM:
            maps.append(chain.features)
        if layer is not layers[-1] and layers[index + 1].kind != NORM:
            chain.modules.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
    if layers[-1].kind == NORM or chain.features not in (1, 3):
        chain.refuse(layers[-1], "the last is a convolution to the 1 or 3 channels of a picture")
    assert chain.side
    chain.crop()
    network = nn.Sequential(*chain.modules, nn.Tanh()).eval()
    return network, Shape(z_dim, chain.features, chain.side, spatial, tuple(maps))


def _unflattened_before(chain: _Chain, layers: Sequence[Layer], index: int) -> None:
    """A batch norm behind a linear layer counts numbers, or channels of the maps that they become."""
    following = next((each for each in layers[index:] if each.kind != NORM), None)
    norm = layers[index]
    is_of_maps = following is not None and following.kind == CONVOLUTION and norm.shape != (chain.features,)
    if not chain.side and is_of_maps:
        chain.unflatten(norm.shape[0], norm)


def build_discriminator(
    layers: Sequence[Layer], channels: int, side: int, where: str, *, same: bool = False
) -> nn.Module:
    """D's logit of square pictures, in eval mode; ``same`` as in build_generator. Raises ModelError."""
    if len(layers) < 2 or layers[0].kind != CONVOLUTION or layers[-1].kind == NORM:
        raise ModelError(
            f"{where} is no discriminator of a DCGAN: it has {_shown(layers)}; expected convolutions that "
            f"halve a picture, and a last layer with one output{_OTHERWISE}"
        )
    chain = _Chain(where, channels, side, same)
    for index, layer in enumerate(layers):
        if layer.kind == NORM:
            chain.norm(layer)
        elif layer.kind == LINEAR:
            chain.linear(layer)
        elif not chain.side:
            chain.refuse(layer, "a linear layer came before")
        else:
            chain.halving(layer, is_last=layer is layers[-1])
        if layer is not layers[-1] and layers[index + 1].kind != NORM:
            chain.modules.append(nn.LeakyReLU(_SLOPE))
    if chain.features != 1:
        chain.refuse(layers[-1], "the last has 1 output")
    return nn.Sequential(*chain.modules, nn.Flatten(0)).eval()


def _shown(layers: Sequence[Layer]) -> str:
    if not layers:
        return "no layers"
    count = f"{len(layers)} layers, " if len(layers) > 1 else ""
    return f"{count}{', '.join(map(str, layers[:3]))}{' …' * (len(layers) > 3)}"
