"""A function of tensors, traced with symbolic sizes and written as an ONNX graph of standard operators."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, fx
from torch.func import functionalize

from edgefill.errors import ModelError
from edgefill.export import onnx_passes, programs, traced_passes
from edgefill.export.calls import Attempt
from edgefill.export.complex_parts import InParts, Parts, in_parts
from edgefill.export.constants import KnownConstants
from edgefill.export.decompositions import decomposition_table
from edgefill.export.plain_forms import plain_forms, quiet
from edgefill.export.refusals import (
    BATCHES,
    FixedBatch,
    explained,
    no_form,
    refuse_bfloat16,
    refuse_mixed_types,
    refuse_random_numbers,
    what_fixes,
)

BATCH = "N"
OPSET = programs.OPSET

aten = torch.ops.aten


def to_onnx(
    step: Callable[..., list[Tensor]],
    example_inputs: Mapping[str, Tensor],
    output_names: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    *,
    batchless: Sequence[str] = (),
    allow_scatter: bool = False,
) -> ModelProto:
    """The graph of ``step``; ``dynamic`` names sizes of the inputs, "N" the batch.

    ``output_names`` and ``batchless``, those of them that have no batch, are read after tracing.
    Raises ModelError that names the call which cannot be exported.
    """
    open_sizes = [dynamic.get(name, {}) for name in example_inputs]
    batched = [name for name in example_inputs if dynamic.get(name, {}).get(0) == BATCH]
    batch = _traced_batch(example_inputs, batched)
    examples = _with_batch(example_inputs, batched, batch)
    with quiet():
        table = decomposition_table(allow_scatter=allow_scatter)
    attempt = Attempt(
        step,
        examples,
        list(example_inputs.values()),
        lambda watched: _traced(watched, examples, open_sizes, table),
    )
    with what_fixes(batch) as fixed_by, explained(attempt, fixed_by), plain_forms():
        graph = _functional(step, examples, open_sizes, table)
        refuse_random_numbers(graph, attempt)
        refuse_bfloat16(graph, attempt)
        refuse_mixed_types(graph, attempt)
        sizes = dict(zip(example_inputs, open_sizes, strict=True))
        fixed = _fixed_size(graph, sizes, output_names, batchless)
        if fixed:
            raise FixedBatch if fixed == BATCH else ModelError(fixed)
        program = torch.onnx.export(
            programs.program(graph),
            dynamo=True,
            dynamic_shapes=tuple(open_sizes),
            input_names=list(example_inputs),
            output_names=list(output_names),
            opset_version=OPSET,
            verbose=False,
        )
    model: ModelProto = program.model_proto
    # First: the traces name the operator that a refused node comes from.
    refused = onnx_passes.first_not_standard(model, allow_scatter=allow_scatter)
    if refused:
        raise no_form(refused, attempt)
    onnx_passes.strip_traces(model)
    onnx_passes.batch_of_first_input(model)
    onnx_passes.without_output_padding(model)
    onnx_passes.reductions_in_fp32(model)
    return model


def _functional(
    step: Callable[..., Any],
    examples: Sequence[Tensor],
    open_sizes: Sequence[Mapping[int, str]],
    table: Mapping[Any, Callable[..., Any]],
) -> fx.GraphModule:
    """``step`` as a graph that writes into no tensor, and has no complex ones.

    Traced again where it does: autograd does not run inside of what makes functions of writes.
    """
    graph = programs.traced(_with_constants(step), examples, open_sizes, table)
    traced_passes.views_may_copy(graph)
    traced_passes.without_unseen_writes(graph, table)
    if _writes(graph) or _has_complex_tensors(graph):
        graph = programs.traced(_without_writes(graph), examples, open_sizes, table)
    traced_passes.made_plain(graph)
    return graph


def _traced(step: Callable[..., Any], *how: Any) -> None:
    with plain_forms():
        programs.traced(_with_constants(step), *how)


def _with_constants(step: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Tensor) -> Any:
        with KnownConstants():
            return step(*inputs)

    return run


def _without_writes(traced: fx.GraphModule) -> Callable[..., Any]:
    """``traced`` as a function that writes into no tensor, and has no complex ones."""
    names = {str(node.target) for node in traced.graph.nodes if node.op == "get_attr"}
    constants = {name: in_parts(operator.attrgetter(name)(traced)) for name in names}

    def run(constants: Mapping[str, Any], *inputs: Tensor) -> Any:
        results = InParts(traced, constants).run(*inputs)
        if any(isinstance(each, Parts) for each in results) or any(each.is_complex() for each in inputs):
            raise ModelError(
                "an input or an output is complex; hand over its parts, as torch.view_as_real gives them"
            )
        return results

    # What makes functions of writes knows those tensors alone that it is given.
    return lambda *inputs: functionalize(run, remove="mutations")(constants, *inputs)


def _writes(graph: fx.GraphModule) -> bool:
    """Whether a call in ``graph`` changes one of its arguments."""
    calls = (node.target for node in graph.graph.nodes if node.op == "call_function")
    return any(call._schema.is_mutable for call in calls if isinstance(call, torch._ops.OpOverload))


def _has_complex_tensors(graph: fx.GraphModule) -> bool:
    values = (node.meta.get("val") for node in graph.graph.nodes)
    return any(isinstance(value, Tensor) and value.is_complex() for value in values)


def _traced_batch(example_inputs: Mapping[str, Tensor], batched: Sequence[str]) -> int:
    """A batch size that no other size is equal to."""
    sizes = {
        int(size)
        for name, tensor in example_inputs.items()
        for size in tensor.shape[1 if name in batched else 0 :]
    }
    return next(size for size in BATCHES if size not in sizes)


def _with_batch(example_inputs: Mapping[str, Tensor], batched: Sequence[str], batch: int) -> list[Tensor]:
    return [
        tensor[:1].expand(batch, *tensor.shape[1:]).contiguous() if name in batched else tensor
        for name, tensor in example_inputs.items()
    ]


def _fixed_size(
    graph: fx.GraphModule,
    open_sizes: Mapping[str, Mapping[int, str]],
    output_names: Sequence[str],
    batchless: Sequence[str],
) -> str:
    """ "N" where the batch became a number, or which other size did, in a sentence; empty where none did."""
    inputs = graph.graph.find_nodes(op="placeholder")
    for (name, sizes), node in zip(open_sizes.items(), inputs, strict=True):
        for place, size in sizes.items():
            found = programs.number_of(node.meta["val"].shape[place])
            if found is not None:
                return BATCH if size == BATCH else _fixed(name, size, found)
    if any(BATCH in sizes.values() for sizes in open_sizes.values()):
        (results,) = graph.graph.output_node().args
        for name, node in zip(output_names, results, strict=True):
            shape = node.meta["val"].shape
            if name not in batchless and not (shape and programs.number_of(shape[0]) is None):
                return BATCH
    return ""


def _fixed(name: str, size: str, found: int) -> str:
    return (
        f"the size {size} of {name} became fixed at {found} while tracing: a module turns a size into "
        "a number, as int(x.shape[2]) does"
    )
