"""Any PyTorch objective, and its gradient with respect to one input, as one ONNX graph."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.func import functionalize
from torch.nn.attention import SDPBackend, sdpa_kernel

from edgefill.errors import ModelError
from edgefill.export import onnx_passes
from edgefill.export.decompositions import decomposition_table, whole_upsampling

OPSET = 18

_FIXED_BATCH = (
    "the batch size became fixed while tracing: somewhere a module turns x.shape[0] into a number or "
    "reshapes to a literal batch; use -1 or flatten(1) there ({})"
)

Objective = Callable[..., "Tensor | tuple[Tensor, Mapping[str, Tensor]]"]

# The traced batch must differ from every other input size: equal sizes would share one symbol.
_TRACED_BATCHES = (61, 67, 71, 73, 79, 83, 89, 97)


def gradient_graph(
    objective: Objective, example_inputs: Mapping[str, Tensor], wrt: str = "z", also: Sequence[str] = ()
) -> ModelProto:
    """An ONNX model that returns ``loss``, ``grad_<wrt>`` and the objective's extra outputs.

    The gradient is that of the summed loss, so each row of it belongs to its own sample. The batch, the first
    dimension of every input, is dynamic; everything else has the example's sizes. Standard operators of opset
    18 only; modules that the objective uses should be in eval mode.

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
        example_inputs: name → tensor with the batch first; only shapes and types matter.
        wrt: the input to differentiate with respect to, of a floating type.
        also: extra outputs, one number per sample, whose gradients are returned too, as
            ``grad_<wrt>_<output>``. They share the way forward, and each has a way back of its own.

    Raises:
        ModelError: the objective cannot be traced, uses an operator that has no ONNX form (named), or fixes
            the batch size.
    """
    if wrt not in example_inputs:
        raise ModelError(
            f"cannot differentiate with respect to {wrt!r}; the inputs are {list(example_inputs)}"
        )
    names: list[str] = []

    def step(*tensors: Tensor) -> list[Tensor]:
        inputs = dict(zip(example_inputs, tensors, strict=True))
        inputs[wrt] = inputs[wrt].detach().requires_grad_(True)
        loss, extras = _loss_and_extras(objective(**inputs))
        gradients = [
            torch.autograd.grad(each.sum(), inputs[wrt], retain_graph=True)[0]
            for each in (loss, *(extras[name] for name in also))
        ]
        names[:] = ["loss", f"grad_{wrt}", *extras, *(f"grad_{wrt}_{name}" for name in also)]
        return [output.detach() for output in (loss, gradients[0], *extras.values(), *gradients[1:])]

    return _traced_to_onnx(step, example_inputs, names, {name: {0: "N"} for name in example_inputs})


def forward_graph(
    function: Callable[..., Tensor],
    example_inputs: Mapping[str, Tensor],
    output: str,
) -> ModelProto:
    """An ONNX model of ``function`` alone, with a dynamic batch and one output; see ``gradient_graph``."""

    def step(*tensors: Tensor) -> list[Tensor]:
        return [function(**dict(zip(example_inputs, tensors, strict=True))).detach()]

    return _traced_to_onnx(step, example_inputs, [output], {name: {0: "N"} for name in example_inputs})


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

    return _traced_to_onnx(step, example_inputs, outputs, dynamic)


def _loss_and_extras(
    result: Tensor | tuple[Tensor, Mapping[str, Tensor]],
) -> tuple[Tensor, Mapping[str, Tensor]]:
    loss, extras = result if isinstance(result, tuple) else (result, {})
    if loss.dim() != 1:
        raise ModelError(
            f"the objective returned a loss of shape {list(loss.shape)}; expected one per sample, [N]"
        )
    return loss, extras


def _traced_to_onnx(
    step: Callable[..., list[Tensor]],
    example_inputs: Mapping[str, Tensor],
    output_names: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    *,
    allow_scatter: bool = False,
) -> ModelProto:
    """Traces ``step`` with symbolic sizes and converts it; ``output_names`` is read after tracing."""
    names = sorted({name for sizes in dynamic.values() for name in sizes.values()})
    symbols = {name: torch.export.Dim(name) for name in names}
    shapes = [
        {place: symbols[size] for place, size in dynamic.get(name, {}).items()} for name in example_inputs
    ]
    examples = _with_batch(example_inputs) if "N" in symbols else list(example_inputs.values())
    with _quiet(), _explained(), whole_upsampling():
        table = decomposition_table(allow_scatter=allow_scatter)
        traced = _traced(step, examples, table)
        _reshaped(traced)
        graph = _traced(functionalize(traced, remove="mutations"), examples, table)
        _numbers_as_tensors(graph)
        _without_pooling_indices(graph)
        program = torch.onnx.export(
            graph.eval(),
            tuple(examples),
            dynamo=True,
            dynamic_shapes=tuple(shapes),
            input_names=list(example_inputs),
            output_names=list(output_names),
            opset_version=OPSET,
            verbose=False,
        )
    model: ModelProto = program.model_proto
    if "N" in symbols:
        _check_batch_is_dynamic(model)
    _check_sizes_are_dynamic(model, dynamic)
    onnx_passes.check_standard(model)  # First: the traces name the operator that a refused node comes from.
    onnx_passes.strip_traces(model)
    onnx_passes.batch_of_first_input(model)
    onnx_passes.without_output_padding(model)
    onnx_passes.reductions_in_fp32(model)
    return model


def _with_batch(example_inputs: Mapping[str, Tensor]) -> list[Tensor]:
    sizes = {int(size) for tensor in example_inputs.values() for size in tensor.shape[1:]}
    batch = next(size for size in _TRACED_BATCHES if size not in sizes)
    return [tensor[:1].expand(batch, *tensor.shape[1:]).contiguous() for tensor in example_inputs.values()]


def _check_batch_is_dynamic(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ModelError(_FIXED_BATCH.format(f"{value.name} became fixed"))


def _check_sizes_are_dynamic(model: ModelProto, dynamic: Mapping[str, Mapping[int, str]]) -> None:
    for value in model.graph.input:
        for place, size in dynamic.get(value.name, {}).items():
            found = value.type.tensor_type.shape.dim[place]
            if not found.dim_param:
                raise ModelError(
                    f"the size {size} of {value.name} became fixed at {found.dim_value} while tracing: "
                    "somewhere a module turns a size into a number, as int(x.shape[2]) does"
                )


def _traced(step: Callable[..., Any], examples: Sequence[Tensor], table: Mapping[Any, Any]) -> fx.GraphModule:
    traced: fx.GraphModule = make_fx(
        step, tracing_mode="symbolic", decomposition_table=table, _allow_non_fake_inputs=True
    )(*examples)
    return traced


def _reshaped(graph: fx.GraphModule) -> None:
    """Views that copy where they have to: our forms of an operator lie in memory in other orders than its own."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.recompile()


def _numbers_as_tensors(graph: fx.GraphModule) -> None:
    """A number that follows from the batch size is a tensor to ONNX, which has no operators for numbers."""
    aten = torch.ops.aten
    for node in graph.graph.nodes:
        if node.op != "call_function" or getattr(node.target, "_overloadname", "") != "Scalar":
            continue
        number = node.args[1] if len(node.args) > 1 else None
        if isinstance(number, fx.Node) and hasattr(node.target.overloadpacket, "Tensor"):
            with graph.graph.inserting_before(node):
                dtype = node.args[0].meta["val"].dtype
                tensor = graph.graph.call_function(aten.scalar_tensor.default, (number,), {"dtype": dtype})
            node.target, node.args = node.target.overloadpacket.Tensor, (node.args[0], tensor, *node.args[2:])
    graph.recompile()


def _without_pooling_indices(graph: fx.GraphModule) -> None:
    """max_pool2d in place of max_pool2d_with_indices: nothing reads the indices, and TensorRT has none."""
    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        if node.target is not aten.max_pool2d_with_indices.default:
            continue
        if all(user.args[1] == 0 for user in node.users):
            with graph.graph.inserting_before(node):
                pooled = graph.graph.call_function(aten.max_pool2d.default, node.args, node.kwargs)
            for value in list(node.users):
                value.replace_all_uses_with(pooled)
                graph.graph.erase_node(value)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on itself; attention in its plain form, which has a gradient."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _explained() -> Iterator[None]:
    """Turns whatever PyTorch raises into a ModelError that names the operator or what was fixed."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # tracing runs foreign code and a whole compiler
        raise ModelError(_explanation(error)) from error


def _explanation(error: BaseException) -> str:
    chain, cause = "", error
    while cause is not None:
        chain += f"{cause}\n"
        cause = cause.__cause__ or cause.__context__
    operator = re.search(r"OpOverload\(op='([\w.:]+)'", chain)
    if operator and ("No ONNX function" in chain or "decompos" in chain):
        return (
            f"the operator {operator[1]} has no ONNX form here; replace the layer that uses it, or give "
            "edgefill.export.decompositions a decomposition of it"
        )
    if "dtype Half" in chain:
        return (
            f"an operator has no form in fp16 ({_first_line(error)}); let the module compute there in "
            "float32, by x.float(), or export in fp32"
        )
    if "onstraint" in chain or "pecializ" in chain:
        return _FIXED_BATCH.format(_first_line(error))
    return f"the objective cannot be exported: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"
