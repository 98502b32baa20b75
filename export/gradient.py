"""Any PyTorch objective, and its gradient with respect to some of its inputs, as one ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from onnx import ModelProto
from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export import agreement
from edgefill.export.tracing import BATCH, OPSET, to_onnx

__all__ = ["OPSET", "forward_graph", "gradient_graph", "plain_graph"]

Objective = Callable[..., "Tensor | tuple[Tensor, Mapping[str, Tensor]]"]


def gradient_graph(
    objective: Objective,
    example_inputs: Mapping[str, Tensor],
    wrt: str | Sequence[str] = "z",
    also: Sequence[str] = (),
    *,
    shared: Sequence[str] = (),
    check: bool = True,
    allow_scatter: bool = False,
) -> ModelProto:
    """An ONNX model that returns ``loss``, ``grad_<wrt>`` and the objective's extra outputs.

    The gradient is that of the summed loss, so each row of it belongs to its own sample. The batch, the first
    dimension of every input that is not ``shared``, is dynamic; everything else has the example's sizes.
    Standard operators of opset 18 only; modules that the objective uses should be in eval mode. Compiled
    modules are exported as they were written, and autocast counts for nothing: a graph computes in one type.

    The fit of a line to noisy points, one line per sample, has nothing to do with pictures:

        >>> def residual(line, x, y):                       # line [N, 2], x and y [N, 10]
        ...     predicted = line[:, :1] * x + line[:, 1:]
        ...     return (predicted - y).square().sum(1), {"predicted": predicted}
        >>> inputs = {"line": torch.zeros(1, 2), "x": torch.zeros(1, 10), "y": torch.zeros(1, 10)}
        >>> model = gradient_graph(residual, inputs, wrt="line")
        >>> [output.name for output in model.graph.output]
        ['loss', 'grad_line', 'predicted']

    Args:
        objective: called with the inputs by name; returns one loss per sample, [N], or such a loss and a
            dictionary of extra outputs, each with the batch first.
        example_inputs: name → tensor with the batch first. Shapes and types matter; of the values those of
            whole numbers, such as labels, and that the objective is finite near them.
        wrt: the input to differentiate with respect to, of a floating type, or several.
        also: extra outputs, one number per sample, whose gradients are returned too, as
            ``grad_<wrt>_<output>``. They share the way forward, and each has a way back of its own.
        shared: inputs and extra outputs without a batch: one for all samples. The gradient with respect to
            such an input is summed over the samples.
        check: whether loss, outputs and gradients are compared with PyTorch's eager mode in two batch sizes.
        allow_scatter: leaves writes to counted places to ScatterND and ScatterElements, where they would be
            products with one-hot rows; ONNX Runtime has them, TensorRT in part.

    Raises:
        ModelError: the objective cannot be traced, uses an operator that has no ONNX form, draws random
            numbers, branches on values, fixes the batch size, or is not what the graph computes. It names the
            call at fault.
    """
    variables = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    _check_variables(variables, example_inputs)
    names: list[str] = []
    batchless = [*shared, *(f"grad_{name}" for name in variables if name in shared)]
    batchless += [f"grad_{name}_{output}" for name in variables if name in shared for output in also]

    def evaluate(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        free = {name: inputs[name].detach().requires_grad_(True) for name in variables}
        loss, extras = _loss_and_extras(objective(**{**inputs, **free}))
        results = {"loss": loss, **_gradients(loss, free, "the loss", "grad_{}"), **extras}
        for name in also:
            results |= _gradients(extras[name], free, f"the output {name}", f"grad_{{}}_{name}")
        return {name: value.detach() for name, value in results.items()}

    def step(*tensors: Tensor) -> list[Tensor]:
        results = evaluate(dict(zip(example_inputs, tensors, strict=True)))
        names[:] = results
        return list(results.values())

    dynamic = {name: {0: BATCH} for name in example_inputs if name not in shared}
    model = to_onnx(step, example_inputs, names, dynamic, batchless=batchless, allow_scatter=allow_scatter)
    if check:
        agreement.check(model, evaluate, example_inputs, shared)
    return model


def forward_graph(
    function: Callable[..., Tensor],
    example_inputs: Mapping[str, Tensor],
    output: str,
) -> ModelProto:
    """An ONNX model of ``function`` alone, with a dynamic batch and one output; see ``gradient_graph``."""

    def step(*tensors: Tensor) -> list[Tensor]:
        return [function(**dict(zip(example_inputs, tensors, strict=True))).detach()]

    return to_onnx(step, example_inputs, [output], {name: {0: BATCH} for name in example_inputs})


def plain_graph(
    function: Callable[..., Sequence[Tensor]],
    example_inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> ModelProto:
    """An ONNX model of ``function``, which need have no batch; ``dynamic`` names sizes of some inputs.

    Sizes of one name are equal, and differ in the examples from all others.
    """

    def step(*tensors: Tensor) -> list[Tensor]:
        return list(function(**dict(zip(example_inputs, tensors, strict=True))))

    return to_onnx(step, example_inputs, outputs, dynamic)


def _check_variables(variables: Sequence[str], example_inputs: Mapping[str, Tensor]) -> None:
    for name in variables:
        if name not in example_inputs:
            raise ModelError(
                f"cannot differentiate with respect to {name!r}; the inputs are {list(example_inputs)}"
            )
        if not example_inputs[name].is_floating_point():
            raise ModelError(
                f"cannot differentiate with respect to {name!r}, which is {example_inputs[name].dtype}; "
                "expected a floating type"
            )


def _gradients(of: Tensor, free: Mapping[str, Tensor], what: str, form: str) -> dict[str, Tensor]:
    """The gradients of the sum of ``of``, by the names that ``form`` gives them."""
    found = [None] * len(free)
    if of.requires_grad:
        found = torch.autograd.grad(of.sum(), list(free.values()), retain_graph=True, allow_unused=True)
    for name, gradient in zip(free, found, strict=True):
        if gradient is None:
            raise ModelError(
                f"{what} does not depend on {name!r} in a way that has a gradient; was it detached, computed "
                "under no_grad or by another library, or is it another input that it depends on?"
            )
    return {form.format(name): gradient for name, gradient in zip(free, found, strict=True)}


def _loss_and_extras(
    result: Tensor | tuple[Tensor, Mapping[str, Tensor]],
) -> tuple[Tensor, Mapping[str, Tensor]]:
    loss, extras = result if isinstance(result, tuple) else (result, {})
    if loss.dim() != 1:
        raise ModelError(
            f"the objective returned a loss of {loss.dim()} dimensions; expected one number per sample, [N]"
        )
    return loss, extras
