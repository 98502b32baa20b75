"""TensorFlow checkpoints of the DCGANs of carpedm20 and bamos, to state dicts as PyTorch has them.

https://github.com/carpedm20/DCGAN-tensorflow, https://github.com/bamos/dcgan-completion.tensorflow
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export.weights.checkpoints import Checkpoint, shape_text

GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # as the states of a checkpoint are called
_VARIABLE = re.compile(r"(?:.*/)?([gd])_(h|bn)(\d{1,4})(?:_(conv|lin))?/(\w+)")
_LEAVES = {
    "Matrix": "weight", "w": "weight", "bias": "bias", "biases": "bias", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip
_OTHERWISE = "; for other networks there is edgefill.export.export_bundle in Python"

Tensors = dict[str, Tensor]


@dataclass
class _Layer:
    """The tensors of one layer, by the names that they have in a state dict."""

    name: str
    kind: str  # h or bn
    index: int
    ending: str
    tensors: Tensors


def read_checkpoint(path: Path) -> dict[str, Tensors]:
    """The state dicts of G and D, where they are there, in the checkpoint that ``path`` is part of; float32.

    Kernels and linear layers have PyTorch's order of axes. Raises ModelError for what is damaged, of another
    network, or cannot be read.
    """
    checkpoint = Checkpoint(path)
    found: dict[str, dict[str, _Layer]] = {"g": {}, "d": {}}
    for name in checkpoint.names:
        match = _VARIABLE.fullmatch(name)
        if match is None or match[5] not in _LEAVES:
            continue  # an optimiser's, or a counter
        network, kind, number, ending, leaf = match.groups()
        title = name.rsplit("/", 2)[-2]
        layer = found[network].setdefault(title, _Layer(title, kind, int(number), ending or "", {}))
        if _LEAVES[leaf] in layer.tensors:
            raise ModelError(f"{checkpoint.file} has two of {title}/{leaf}; expected one DCGAN")
        layer.tensors[_LEAVES[leaf]] = checkpoint.tensor(name)
    if not found["g"]:
        raise ModelError(
            f"{checkpoint.file} holds no generator: expected variables such as g_h0_lin/Matrix and "
            f"g_bn0/gamma, found {', '.join(checkpoint.names[:5]) or 'none'}{_OTHERWISE}"
        )
    states = {
        GENERATOR: _generator(found["g"], checkpoint.file),
        DISCRIMINATOR: _discriminator(found["d"], checkpoint.file),
    }
    return {name: state for name, state in states.items() if state}


def _generator(layers: dict[str, _Layer], file: str) -> Tensors:
    """G's layers from z on: each h, then its bn."""
    ordered = sorted(layers.values(), key=lambda each: (each.index, each.kind == "bn"))
    weights = [each for each in ordered if each.kind == "h"]
    if sum(each.ending == "lin" for each in weights) > 1:
        raise ModelError(
            f"{file} is of a DCGAN that takes labels too, which a search does not have{_OTHERWISE}"
        )
    first = ordered[0]
    if first.ending != "lin":
        raise ModelError(
            f"{file} has a generator that begins with {first.name}; expected g_h0_lin{_OTHERWISE}"
        )
    following = weights[1].tensors.get("weight") if len(weights) > 1 else None
    if following is not None and following.dim() == 4:
        _channels_first(first, 1, following.shape[3], file)
        if "bias" in first.tensors:
            first.tensors["bias"] = _moved(first, first.tensors["bias"], 0, following.shape[3], file)
    return _state(ordered, file)


def _discriminator(layers: dict[str, _Layer], file: str) -> Tensors:
    """D's layers from the picture on: the last bn stands behind the last convolution, and so on."""
    weights = sorted(
        (each for each in layers.values() if each.kind == "h"), key=lambda each: (each.index, each.ending)
    )
    norms = sorted((each for each in layers.values() if each.kind == "bn"), key=lambda each: each.index)
    convolutions = [each for each in weights if each.ending != "lin"]
    behind = dict(zip([each.name for each in convolutions[::-1]], norms[::-1], strict=False))
    ordered = [each for weight in weights for each in (weight, behind.get(weight.name)) if each is not None]
    last = weights[-1] if weights else None
    if last is not None and last.ending != "lin":
        raise ModelError(
            f"{file} has a discriminator that ends with {last.name}; expected d_h4_lin{_OTHERWISE}"
        )
    kernel = convolutions[-1].tensors.get("weight") if convolutions else None
    if last is not None and kernel is not None and kernel.dim() == 4:
        _channels_first(last, 0, kernel.shape[3], file)
    return _state(ordered, file)


def _channels_first(layer: _Layer, axis: int, channels: int, file: str) -> None:
    """Puts what a linear layer gives, or takes, of maps [H, W, C] in the order [C, H, W]."""
    if "weight" in layer.tensors:
        layer.tensors["weight"] = _moved(layer, layer.tensors["weight"], axis, channels, file)


def _moved(layer: _Layer, tensor: Tensor, axis: int, channels: int, file: str) -> Tensor:
    if tensor.dim() <= axis or channels < 1 or tensor.shape[axis] % channels:
        raise ModelError(
            f"{file}: {layer.name} of {shape_text(tuple(tensor.shape))} does not fit the {channels} channels "
            f"of its maps{_OTHERWISE}"
        )
    maps = tensor.unflatten(axis, (-1, channels)).transpose(axis, axis + 1)
    return maps.flatten(axis, axis + 1)


def _state(layers: list[_Layer], file: str) -> Tensors:
    """As a state dict has it: [out, in], [out, in, h, w], and of a transposed convolution [in, out, h, w]."""
    state: Tensors = {}
    for layer in layers:
        if layer.kind == "bn" and "running_mean" not in layer.tensors:
            raise ModelError(
                f"{file} lacks {layer.name}/moving_mean: early programs keep what their batch norms remember "
                f"in other variables, which are not read{_OTHERWISE}"
            )
        for leaf, tensor in layer.tensors.items():
            turned = {2: (1, 0), 4: (3, 2, 0, 1)}.get(tensor.dim())
            state[f"{layer.name}.{leaf}"] = tensor.permute(turned).contiguous() if turned else tensor
    return state
