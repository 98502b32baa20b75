"""Networks made ready for export: in eval mode, frozen, and with every constant computed once."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize, remove_spectral_norm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edgefill.errors import ModelError

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


_LIMIT = 1e-3  # of the largest number of an output or a gradient
_NUDGE = 1e-6  # by which an input is moved, relatively, to see how much of a difference is rounding
_SLACK = 20.0  # times what a nudge changes


def prepared(module: nn.Module, role: str, example: Tensor | None = None) -> nn.Module:
    """A copy of ``module`` in eval mode whose weights are plain constants and whose batch norms are folded.

    ``role`` is what messages call it. The argument is left as it was. Where an ``example`` of its input is
    given, batch norms stay if folding would lose something: it runs the module on what only stands for a
    tensor, which has no gradient of its own, and another type. Raises ModelError for weights that are not
    finite.
    """
    _detach_computed_weights(module)
    with torch.no_grad():  # copies of what torch.jit.trace made would lead back to it
        module = copy.deepcopy(module).eval().cpu().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(
                f"{role} has NaN or Inf in {name}; expected trained, finite weights; train it again"
            )
    _bake_parametrizations(module)
    folded = _fold_batch_norm(copy.deepcopy(module))
    return folded if example is None or _alike(folded, module, example) else module


def _alike(folded: nn.Module, module: nn.Module, example: Tensor) -> bool:
    """Whether both compute the same, with the same gradient, but for rounding.

    True where ``module`` does not run.
    """
    try:
        expected, nudged = (_value_and_gradient(module, x) for x in (example, example * (1 + _NUDGE)))
    except Exception:  # noqa: BLE001 - foreign code; whoever exports it says what is wrong with it
        return True
    try:
        found = _value_and_gradient(folded, example)
    except Exception:  # noqa: BLE001 - what folds does not know all that modules may be
        return False
    return all(
        float((a - b).abs().max()) <= _LIMIT * float(b.abs().max()) + _SLACK * float((c - b).abs().max())
        for a, b, c in zip(found, expected, nudged, strict=True)
    )


def _value_and_gradient(module: nn.Module, example: Tensor) -> tuple[Tensor, Tensor]:
    x = example.detach().clone().requires_grad_(True)
    value = module(x)
    weight = torch.linspace(-1.0, 1.0, value.numel()).reshape(value.shape)
    (gradient,) = torch.autograd.grad((value * weight).sum(), x)
    return value.detach(), gradient


def rounded_to(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The same module with each weight rounded to what ``dtype`` can hold, still computing in float32."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype).float()
    return module


def _detach_computed_weights(module: nn.Module) -> None:
    """Weights that a hook computed in the last forward pass lose its graph, which cannot be copied."""
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                setattr(part, name, value.detach())


def _bake_parametrizations(module: nn.Module) -> None:
    """Spectral norm and its like become the weight that they compute in eval mode."""
    for part in module.modules():
        if parametrize.is_parametrized(part):
            _bake_parametrization(part)
        for hook in list(part._forward_pre_hooks.values()):
            if type(hook).__name__ == "SpectralNorm":
                remove_spectral_norm(part, hook.name)


def _bake_parametrization(part: nn.Module) -> None:
    """Unlike remove_parametrizations, which edits a class that the copy shares with the original."""
    weights = {name: getattr(part, name).detach().clone() for name in part.parametrizations}
    part.__class__ = type(part).__bases__[0]
    del part.parametrizations
    for name, weight in weights.items():
        part.register_parameter(name, nn.Parameter(weight, requires_grad=False))


def _fold_batch_norm(module: nn.Module) -> nn.Module:
    """``module``, in which each batch norm behind a convolution or linear layer is part of its weights.

    Its own code runs as before, and is what messages name: the layers have other weights, and the batch norms
    do nothing. A module that torch.fx cannot trace keeps them: they export too, as a scale and an offset.
    """
    try:
        graph = fx.symbolic_trace(module)
    except Exception:  # noqa: BLE001 - tracing runs the module's own code, which may raise anything
        return module
    layers = dict(graph.named_modules())
    for layer, unflatten, norm in list(_foldable(graph, layers)):
        own, batch_norm = layers[str(layer.target)], layers[str(norm.target)]
        folded = _fold(own, batch_norm, has_unflatten=unflatten is not layer)
        own.weight, own.bias = folded.weight, folded.bias
        batch_norm.__class__ = nn.Identity
        batch_norm._parameters.clear()
        batch_norm._buffers.clear()
    return module


def _foldable(
    graph: fx.GraphModule, layers: dict[str, nn.Module]
) -> Iterator[tuple[fx.Node, fx.Node, fx.Node]]:
    """(layer, what the batch norm reads, batch norm): the middle one is an Unflatten or the layer itself."""
    calls: dict[str, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for norm in graph.graph.nodes:
        if norm.op != "call_module" or not isinstance(layers[str(norm.target)], _BATCH_NORMS):
            continue
        source = layer = norm.args[0]
        if layer.op == "call_module" and isinstance(layers[str(layer.target)], nn.Unflatten):
            layer = layer.args[0]
        once = layer.op == "call_module" and calls[str(layer.target)] == calls[str(norm.target)] == 1
        alone = len(layer.users) == 1 and len(source.users) == 1
        if not (once and alone and layers[str(norm.target)].running_mean is not None):
            continue
        kind = layers[str(layer.target)]
        if isinstance(kind, nn.Linear) or (source is layer and isinstance(kind, _CONVOLUTIONS)):
            yield layer, source, norm


def _fold(layer: nn.Module, norm: nn.Module, *, has_unflatten: bool) -> nn.Module:
    if norm.weight is None:
        norm.weight = nn.Parameter(torch.ones(norm.num_features), requires_grad=False)
        norm.bias = nn.Parameter(torch.zeros(norm.num_features), requires_grad=False)
    if isinstance(layer, _CONVOLUTIONS):
        return _fold_into_convolution(layer, norm)
    return fuse_linear_bn_eval(layer, _per_feature(norm, layer.out_features) if has_unflatten else norm)


def _fold_into_convolution(layer: nn.Module, norm: nn.Module) -> nn.Module:
    if not isinstance(layer, _TRANSPOSED):
        return fuse_conv_bn_eval(layer, norm)
    if layer.groups == 1:
        return fuse_conv_bn_eval(layer, norm, transpose=True)
    scale, offset = _scale_and_offset(norm)
    inputs, outputs = layer.weight.shape[:2]
    by_group = scale.reshape(layer.groups, 1, outputs).expand(-1, inputs // layer.groups, -1)
    layer.weight.data = layer.weight * by_group.reshape(inputs, outputs, *[1] * (layer.weight.dim() - 2))
    bias = 0 if layer.bias is None else layer.bias * scale
    layer.bias = nn.Parameter(bias + offset, requires_grad=False)
    return layer


def _scale_and_offset(norm: nn.Module) -> tuple[Tensor, Tensor]:
    gain = 1.0 if norm.weight is None else norm.weight
    shift = 0.0 if norm.bias is None else norm.bias
    scale = gain * torch.rsqrt(norm.running_var + norm.eps)
    return scale, shift - norm.running_mean * scale


def _per_feature(norm: nn.Module, features: int) -> nn.BatchNorm1d:
    """The batch norm over channels as one over the features that an Unflatten made them of."""
    repeat = operator.floordiv(features, norm.num_features)
    flat = nn.BatchNorm1d(features, eps=norm.eps).eval()
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(norm, name)
        if tensor is not None:
            getattr(flat, name).data = tensor.data.repeat_interleave(repeat)
    return flat
