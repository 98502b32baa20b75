"""A traced graph as what PyTorch's exporter writes in ONNX: a program, which it need not trace anew."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from onnxscript.rewriter import RewriteRule
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.exported_program import ModuleCallEntry
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.onnx._internal.exporter import _decomp, _fx_passes, _registration
from torch.onnx._internal.fx.passes import type_promotion

Registry = _registration.ONNXRegistry  # which has no public name
_registry = functools.cache(Registry.from_torchlib)  # the forms in ONNX of PyTorch's operators

OPSET = 18


@functools.cache
def without_form() -> dict[Any, Callable[..., Any]]:
    """Operators that have no form in ONNX → what PyTorch writes them in; neither views nor writes."""
    have_one = set(_decomp.get_onnx_implemented_overloads(_registry(opset_version=OPSET)))
    table = _decomp.create_onnx_friendly_decomposition_table(have_one)
    return {overload: form for overload, form in table.items() if not _shares(overload)}


def _shares(overload: Any) -> bool:
    """Whether a result of ``overload`` lies where an argument does."""
    return any(result.alias_info for result in overload._schema.returns) or overload._schema.is_mutable


def traced(
    step: Callable[..., Any],
    examples: Sequence[Tensor],
    open_sizes: Sequence[Mapping[int, str]],
    table: Mapping[Any, Callable[..., Any]],
) -> fx.GraphModule:
    """The operators that ``step`` runs; of each example ``open_sizes`` names the sizes that are no numbers.

    Open sizes that are equal in the examples are equal for good.
    """
    from torch._dynamo import config  # a second, which whoever exports nothing saves

    # What it remembers of operators with open sizes takes longer to compare than to find out anew.
    with config.patch(fake_tensor_cache_enabled=False):
        mode = FakeTensorMode(allow_fallback_kernels=False, allow_non_fake_inputs=True, shape_env=ShapeEnv())
    fakes = [
        _fake(mode, example, f"input{number}", sizes)
        for number, (example, sizes) in enumerate(zip(examples, open_sizes, strict=True))
    ]
    with mode, enable_python_dispatcher():
        graph: fx.GraphModule = make_fx(
            step, tracing_mode="real", decomposition_table=dict(table), _allow_non_fake_inputs=True
        )(*fakes)
    return graph


def _fake(mode: FakeTensorMode, example: Tensor, name: str, open_sizes: Mapping[int, str]) -> Tensor:
    from torch._dynamo.source import ConstantSource

    sizes = [DimDynamic.DUCK if place in open_sizes else DimDynamic.STATIC for place in range(example.dim())]
    context = StatelessSymbolicContext(dynamic_sizes=sizes)
    fake: Tensor = mode.from_tensor(example, source=ConstantSource(name), symbolic_context=context)
    return fake


def number_of(size: Any) -> int | None:
    """What a size of a traced tensor is; None where it stays open."""
    if isinstance(size, int):
        return size
    return int(size.node.expr) if size.node.expr.is_number else None


@contextmanager
def taken_as_they_are() -> Iterator[None]:
    """Inside, PyTorch's exporter takes programs as they are: ``traced`` has taken them apart.

    Taken apart once more they are traced once more, which is most of what an export costs.
    """
    with (
        mock.patch.object(_fx_passes, "decompose_with_registry", lambda program, _: program),
        mock.patch.object(type_promotion._TypePromotionInterpreter, "run_node", _promoted),
        mock.patch.object(RewriteRule, "try_rewrite", _tried),
        # Collected anew for every graph, forms take as long as the rest.
        mock.patch.object(Registry, "from_torchlib", staticmethod(_registry)),
    ):
        yield


_try_rewrite = RewriteRule.try_rewrite


def _tried(rule: RewriteRule, model: Any, graph: Any, node: Any, **options: Any) -> Any:
    """Looks no closer where ``node`` is another operator than the last of what ``rule`` rewrites."""
    last = next(iter(rule._target_pattern.output_nodes), None)
    operator_of_last = last.op_identifier() if last is not None else None
    if operator_of_last is not None and operator_of_last[1] != node.op_type:
        return None
    return _try_rewrite(rule, model, graph, node, **options)


_run_node = type_promotion._TypePromotionInterpreter.run_node


def _promoted(self: Any, node: fx.Node) -> Any:
    """Casts the arguments of ``node`` to one type; its result is what the trace knows, and not found anew."""
    if node.op != "call_function":
        return _run_node(self, node)
    with self._set_current_node(node):
        rule = type_promotion.get_type_promotion_rule(node, self.type_promotion_table)
        if rule:
            self._maybe_promote_node(node, rule)
    return node.meta["val"]


def program(graph: fx.GraphModule) -> ExportedProgram:
    """``graph``, whose constants become inputs of it, with what is which."""
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    constants = _constants_as_inputs(graph, inputs)
    (results,) = graph.graph.output_node().args
    signature = ExportGraphSignature(
        [
            *(
                InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), name)
                for name, node in constants.items()
            ),
            *(InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None) for node in inputs),
        ],
        [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in results],
    )
    return ExportedProgram(
        root=graph,
        graph=graph.graph,
        graph_signature=signature,
        state_dict={},
        range_constraints={},
        module_call_graph=[ModuleCallEntry("")],
        constants={name: operator.attrgetter(name)(graph).detach() for name in constants},
    )


def _constants_as_inputs(graph: fx.GraphModule, inputs: Sequence[fx.Node]) -> dict[str, fx.Node]:
    """The constants of ``graph`` by name, each an input in front of its own ``inputs``."""
    mode = inputs[0].meta["val"].fake_mode
    made: dict[str, fx.Node] = {}
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        name = str(node.target)
        if name not in made:
            with graph.graph.inserting_before(inputs[0]):
                made[name] = graph.graph.placeholder(f"constant{len(made)}")
            constant = operator.attrgetter(name)(graph)
            made[name].meta["val"] = mode.from_tensor(constant.detach(), static_shapes=True)
        node.replace_all_uses_with(made[name])
        graph.graph.erase_node(node)
    return made
