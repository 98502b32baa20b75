"""What operators of an ONNX file make of maps N×C×H×W (or N×C×W): convolutions, pools, borders and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from edgefill.export.weights.onnx_operators import Node, Operator

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d}
_MAX_POOLS: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d}
_MEAN_POOLS: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d}
_LINEAR, _CUBIC = {1: "linear", 2: "bilinear"}, {2: "bicubic"}
_BORDERS = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}
Pads = list[tuple[int, int]]  # before and after, by axis


def _of_axes(node: Node, found: dict[int, Callable[..., Tensor]], axes: int) -> Callable[..., Tensor]:
    if axes not in found:
        node.refuse(f"it is of {axes} axes; expected 1 or 2")
    return found[axes]


def _windows(node: Node, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations, and how far a kernel reaches."""
    strides = list(node.get("strides") or [1] * len(kernel))
    dilations = list(node.get("dilations") or [1] * len(kernel))
    return strides, dilations, [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


def _told_pads(node: Node, axes: int) -> Pads:
    pads = list(node.get("pads") or [0] * (2 * axes))
    return list(zip(pads[:axes], pads[axes:], strict=True))


def _halves(total: int, *, more_behind: bool) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if more_behind else (more, less)


def _pads(node: Node, x: Tensor, strides: Sequence[int], reaches: Sequence[int]) -> Pads:
    """What is put around maps before windows slide over them."""
    automatic = node.get("auto_pad", "NOTSET")
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        return _told_pads(node, len(strides))
    found = []
    for size, stride, reach in zip(x.shape[2:], strides, reaches, strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        found.append(_halves(total, more_behind=automatic == "SAME_UPPER"))
    return found


def _padded(x: Tensor, pads: Pads, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """``x`` with what is not alike before and after put around it, and what is left to do on both sides."""
    if all(before == after for before, after in pads):
        return x, [before for before, _ in pads]
    flat = [each for pair in pads[::-1] for each in pair]
    return F.pad(x, flat, value=value), [0] * len(pads)


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    convolve = _of_axes(node, _CONVOLUTIONS, weight.dim() - 2)
    strides, dilations, reaches = _windows(node, weight.shape[2:])
    x, padding = _padded(x, _pads(node, x, strides, reaches))
    return convolve(x, weight, bias, strides, padding, dilations, node.get("group", 1))


def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Its pads are what is cut off; where they are not alike, the rest is cut off behind."""
    convolve = _of_axes(node, _TRANSPOSED, weight.dim() - 2)
    strides, dilations, reaches = _windows(node, weight.shape[2:])
    extra = list(node.get("output_padding") or [0] * len(strides))
    pads = _transposed_pads(node, x, strides, reaches, extra)
    both = [min(pair) for pair in pads]
    if min(both) < 0:
        node.refuse(f"its output is larger than what it computes: pads of {pads}")
    x = convolve(x, weight, bias, strides, both, extra, node.get("group", 1), dilations)
    for axis, ((before, after), done) in enumerate(zip(pads, both, strict=True), 2):
        if (before, after) != (done, done):
            x = x.narrow(axis, before - done, x.shape[axis] - (before + after - 2 * done))
    return x


def _transposed_pads(
    node: Node, x: Tensor, strides: Sequence[int], reaches: Sequence[int], extra: Sequence[int]
) -> Pads:
    automatic, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if automatic.startswith("SAME") and not wanted:
        wanted = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if not wanted:
        return _told_pads(node, len(strides))
    sizes = list(wanted)[-len(strides) :]
    made = zip(x.shape[2:], strides, reaches, extra, sizes, strict=True)
    totals = [stride * (size - 1) + more + reach - out for size, stride, reach, more, out in made]
    return [_halves(total, more_behind=automatic == "SAME_UPPER") for total in totals]


def _max_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.get("kernel_shape")
    pool = _of_axes(node, _MAX_POOLS, len(kernel))
    strides, dilations, reaches = _windows(node, kernel)
    x, padding = _padded(x, _pads(node, x, strides, reaches), -math.inf)
    return pool(x, kernel, strides, padding, dilations, bool(node.get("ceil_mode", 0)))


def _average_pool(node: Node, x: Tensor) -> Tensor:
    kernel = node.get("kernel_shape")
    pool = _of_axes(node, _MEAN_POOLS, len(kernel))
    strides, dilations, reaches = _windows(node, kernel)
    pads, counts = _pads(node, x, strides, reaches), bool(node.get("count_include_pad", 0))
    if max(dilations) > 1 or (not counts and any(before != after for before, after in pads)):
        node.refuse("expected one without dilations, and with the same border on both sides")
    x, padding = _padded(x, pads)
    return pool(x, kernel, strides, padding, bool(node.get("ceil_mode", 0)), counts)


def _global_mean(node: Node, x: Tensor) -> Tensor:
    return x.mean(list(range(2, x.dim())), keepdim=True)


def _global_max(node: Node, x: Tensor) -> Tensor:
    return x.amax(list(range(2, x.dim())), keepdim=True)


def _pad(node: Node, x: Tensor, *_: Tensor | None) -> Tensor:
    pads, mode = node.values(1, "pads") or [], node.get("mode", "constant")
    axes = node.values(3) or list(range(len(pads) // 2))
    pairs: Pads = [(0, 0)] * x.dim()
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        pairs[axis % x.dim()] = (before, after)
    while pairs and pairs[0] == (0, 0):
        pairs.pop(0)
    flat = [each for pair in pairs[::-1] for each in pair]
    if mode == "constant":
        return F.pad(x, flat, value=node.number(2, 0.0))
    if mode not in _BORDERS or len(pairs) > x.dim() - 2:
        node.refuse(f"its mode is {mode}, on {len(pairs)} axes; expected a border of maps")
    flat += [0] * (2 * (x.dim() - 2) - len(flat))
    return F.pad(x, flat, mode=_BORDERS[mode])


def _resize(node: Node, x: Tensor, *_: Tensor | None) -> Tensor:
    old, new = [int(size) for size in x.shape[2:]], _new_sizes(node, x)
    mode, way = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    if node.get("antialias", 0) or node.get("exclude_outside", 0) or node.get("axes"):
        node.refuse("it smooths, or names its axes; expected a plain one")
    if mode == "nearest":
        if any(
            _sources(node, way, a, b) != [x * a // b for x in range(b)] for a, b in zip(old, new, strict=True)
        ):
            node.refuse(f"nearest by {way} picks others than PyTorch does; expected asymmetric and floor")
        return F.interpolate(x, new, mode="nearest")
    kinds = _LINEAR if mode == "linear" else _CUBIC
    if way not in ("half_pixel", "pytorch_half_pixel", "align_corners") or len(new) not in kinds:
        node.refuse(f"its mode is {mode} by {way}; expected half_pixel or align_corners")
    if mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        node.refuse("its cubic_coeff_a is not PyTorch's -0.75")
    return F.interpolate(x, new, mode=kinds[len(new)], align_corners=way == "align_corners")


def _new_sizes(node: Node, x: Tensor) -> list[int]:
    """Rows and columns of a Resize, by its sizes or its scales."""
    sizes = node.values(3)
    if sizes:
        if sizes[1] != x.shape[1]:
            node.refuse("it changes channels, or these come last")
        return [int(size) for size in sizes[2:]]
    scales = node.values(2)
    if not scales or scales[0] != 1 or scales[1] != 1:
        node.refuse(f"its scales are {scales}; expected 1 for samples and channels, and maps N×C×H×W")
    return [int(size * scale) for size, scale in zip(x.shape[2:], scales[2:], strict=True)]


def _sources(node: Node, way: str, old: int, new: int) -> list[int]:
    """Which pixel each pixel of a nearest Resize is."""
    at, scale = np.arange(new, dtype=np.float64), new / old
    if way == "asymmetric":
        found = at / scale
    elif way in ("half_pixel", "pytorch_half_pixel"):
        found = (at + 0.5) / scale - 0.5
    elif way == "align_corners":
        found = at * (old - 1) / max(new - 1, 1)
    else:
        node.refuse(f"its coordinates are {way}; expected asymmetric or half_pixel")
    rounded = _ROUNDINGS[node.get("nearest_mode", "round_prefer_floor")](found)
    return [int(each) for each in np.clip(rounded, 0, old - 1)]


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    side = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        count = x.shape[1] // side**2
        x = x.unflatten(1, (side**2, count)).transpose(1, 2).flatten(1, 2)
    return F.pixel_shuffle(x, side)


OPERATORS_OF_MAPS: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "GlobalAveragePool": _global_mean,
    "GlobalMaxPool": _global_max,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": _resize,
}
