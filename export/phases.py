"""Transposed convolutions of stride 2 as plain ones: the same numbers, from what CPUs are best at.

Each pixel that such a convolution of kernel 4 gives has 2×2 taps; which of the sixteen, depends on whether
its row and its column are even or odd. These four phases are plain convolutions, and their outputs are
interleaved. (Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

_PHASES = tuple(product((0, 1), (0, 1)))  # (row, column) of a pixel, modulo 2
_TAPS = ((3, 1), (2, 0))  # of a kernel, in the order of what they read, for even and odd places
_POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)


class Interleave(nn.Module):
    """``[N, 4·C, H, W]``, the phases of C channels one after another, as ``[N, C, 2H, 2W]``.

    By way of channels last, where it moves runs of channels and not single numbers.
    """

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(count, height, width, 2, channels // 2).transpose(2, 3)
        return rows.reshape(count, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class FourConvolutions(nn.Module):
    """A transposed convolution, and what is done to each of its pixels, by one convolution for each phase."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.phases = nn.ModuleList(_phase(layer, row, column) for row, column in _PHASES)
        self.then: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        drawn = [
            self.then(phase(F.pad(x, (1 - column, column, 1 - row, row)))).permute(0, 2, 3, 1).unsqueeze(3)
            for phase, (row, column) in zip(self.phases, _PHASES, strict=True)
        ]
        even, odd = (
            torch.cat(pair, 3).reshape(count, height, 1, 2 * width, -1) for pair in (drawn[:2], drawn[2:])
        )
        return torch.cat([even, odd], 2).reshape(count, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def as_convolutions(module: nn.Module) -> nn.Module:
    """``module`` with its transposed convolutions of kernel 4 and stride 2 in four convolutions each."""
    graph = _as_graph(module)
    network = module if graph is None else graph
    for name, layer in list(network.named_modules()):
        if _splits(layer):
            _replace(network, name, FourConvolutions(layer))
    if graph is not None:
        _take_in_activations(graph)
    return network


def _as_graph(module: nn.Module) -> fx.GraphModule | None:
    """The calls of a ``module`` that has something to split, without those that do nothing.

    None where torch.fx cannot trace it: then its own code runs, with other layers.
    """
    if not any(map(_splits, module.modules())):
        return None
    try:
        graph = fx.symbolic_trace(module)
    except Exception:  # noqa: BLE001 - tracing runs the module's own code, which may raise anything
        return None
    layers = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and isinstance(layers[str(node.target)], nn.Identity):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _take_in_activations(module: fx.GraphModule) -> None:
    """What follows four convolutions pixel by pixel is done to each phase: runtimes fuse it with them."""
    layers = _called_once(module)
    for node in list(module.graph.nodes):
        four = layers.get(str(node.target))
        if isinstance(four, FourConvolutions) and len(node.users) == 1:
            (user,) = node.users
            then = layers.get(str(user.target))
            if isinstance(then, _POINTWISE):
                four.then = then
                user.replace_all_uses_with(node)
                module.graph.erase_node(user)
    module.recompile()


def in_phases(module: nn.Module) -> nn.Module:
    """``module`` in a form for INT8: all phases come from one convolution, so that they share one scale.

    What follows the last of them, as far as it is plain 3×3 convolutions, stays at half the size with four
    times the channels: runtimes are slow with the few channels of a large picture.
    """
    graph = _as_graph(module)
    if graph is None:
        return as_convolutions(module)
    layers = dict(graph.named_modules())
    ups = [node for node in graph.graph.nodes if _splits(layers.get(str(node.target)))]
    for up in ups:
        _replace(graph, str(up.target), _merged(layers[str(up.target)]))
        chain = _computed_on_phases(up, _called_once(graph)) if up is ups[-1] else []
        for node in chain:
            if isinstance(layers[str(node.target)], nn.Conv2d):
                _replace(graph, str(node.target), _at_half_size(layers[str(node.target)]))
        _interleave_after(graph, [up, *chain][-1], f"interleave_{up.name}")
    graph.recompile()
    return graph


def _called_once(module: fx.GraphModule) -> dict[str, nn.Module]:
    """The layers that may be changed for the one place that calls them."""
    calls = Counter(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    return {name: layer for name, layer in module.named_modules() if calls[name] == 1}


def _computed_on_phases(up: fx.Node, layers: Mapping[str, nn.Module]) -> list[fx.Node]:
    """The nodes behind ``up``, one after another, that need not see its phases interleaved."""
    chain: list[fx.Node] = []
    node = up
    while len(node.users) == 1:
        node = next(iter(node.users))
        if not _stays(layers.get(str(node.target))):
            break
        chain.append(node)
    return chain


def _splits(layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.ConvTranspose2d) and (
        layer.kernel_size == (4, 4) and layer.stride == (2, 2) and layer.padding == (1, 1)
        and layer.output_padding == (0, 0) and layer.dilation == (1, 1) and layer.groups == 1
    )  # fmt: skip


def _stays(layer: nn.Module | None) -> bool:
    """Whether ``layer`` can be computed on phases."""
    return isinstance(layer, _POINTWISE) or (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3) and layer.stride == (1, 1) and layer.padding == (1, 1)
        and layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    )  # fmt: skip


def _phase(layer: nn.ConvTranspose2d, row: int, column: int) -> nn.Conv2d:
    """The 2×2 convolution that gives one phase of ``layer``."""
    taps = layer.weight[:, :, _TAPS[row]][:, :, :, _TAPS[column]]
    return _convolution(taps.transpose(0, 1), layer.bias)


def _merged(layer: nn.ConvTranspose2d) -> nn.Conv2d:
    """The 3×3 convolution that gives all phases of ``layer``, five of nine taps of each being zero."""
    inputs, outputs = layer.weight.shape[:2]
    weight = layer.weight.new_zeros(4, outputs, inputs, 3, 3)
    for phase, (row, column) in enumerate(_PHASES):
        weight[phase, :, :, row : row + 2, column : column + 2] = _phase(layer, row, column).weight
    bias = None if layer.bias is None else layer.bias.repeat(4)
    return _convolution(weight.flatten(0, 1), bias, padding=1)


def _at_half_size(layer: nn.Conv2d) -> nn.Conv2d:
    """``layer``, a 3×3 convolution, from the phases of its input to those of its output."""
    outputs, inputs = layer.weight.shape[:2]
    weight = layer.weight.new_zeros(2, 2, outputs, 2, 2, inputs, 3, 3)
    for (row, column), down, right in product(_PHASES, range(3), range(3)):
        (y, from_row), (x, from_column) = divmod(row + down - 1, 2), divmod(column + right - 1, 2)
        weight[row, column, :, from_row, from_column, :, y + 1, x + 1] = layer.weight[:, :, down, right]
    bias = None if layer.bias is None else layer.bias.repeat(4)
    return _convolution(weight.reshape(4 * outputs, 4 * inputs, 3, 3), bias, padding=1)


def _convolution(weight: Tensor, bias: Tensor | None, padding: int = 0) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    layer = nn.Conv2d(inputs, outputs, tuple(kernel), padding=padding, bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer.eval()


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    *path, last = name.split(".")
    setattr(module.get_submodule(".".join(path)), last, layer)


def _interleave_after(module: fx.GraphModule, node: fx.Node, name: str) -> None:
    module.add_submodule(name, Interleave())
    with module.graph.inserting_after(node):
        inserted = module.graph.call_module(name)
    node.replace_all_uses_with(inserted)
    inserted.args = (node,)
