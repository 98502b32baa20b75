"""What is done to a traced graph before it becomes ONNX: small passes, each of one purpose."""

from __future__ import annotations

import operator
from collections.abc import Container
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

_CHECKS = (
    aten._linalg_check_errors.default,
    aten._assert_async.default,
    aten._assert_async.msg,
    aten._assert_scalar.default,
)


def made_plain(graph: fx.GraphModule) -> None:
    """Leaves in ``graph`` only what has a form in ONNX."""
    _without_checks(graph)
    _counts_by_sizes(graph)
    _squeezed_one_by_one(graph)
    _numbers_as_tensors(graph)
    _without_pooling_indices(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def views_may_copy(graph: fx.GraphModule) -> None:
    """Our forms of an operator may lie in memory in another order than its own results."""
    for node in graph.graph.nodes:
        if node.target is aten.view.default:
            node.target = aten.reshape.default
    graph.recompile()


def without_unseen_writes(graph: fx.GraphModule, table: Container[Any]) -> None:
    """Activations that write into what they are given, where nobody else sees it, as those that do not.

    Those whose other form is one of ``table`` stay: they would have to be traced anew.
    """
    for node in graph.graph.nodes:
        form = _form_that_writes_not(node)
        if form is not None and form not in table and len(node.args[0].users) == 1 and _is_new(node.args[0]):
            node.target = form
    graph.recompile()


def _form_that_writes_not(node: fx.Node) -> Any:
    """Of ``relu_`` on one tensor ``relu``; None of what is no such call."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable:
        return None
    if node.all_input_nodes != [node.args[0]]:  # of several, the types of all decide on that of the result
        return None
    packet = getattr(aten, target.overloadpacket.__name__.removesuffix("_"), None)
    return getattr(packet, target._overloadname, None) if packet is not target.overloadpacket else None


def _is_new(node: fx.Node) -> bool:
    """Whether the result of ``node`` lies where nothing else does."""
    if node.target is operator.getitem:
        return _is_new(node.args[0])
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    return not any(result.alias_info for result in node.target._schema.returns)


def _without_checks(graph: fx.GraphModule) -> None:
    """Nothing in a graph can raise: what PyTorch checks in its results shows as NaN."""
    for node in list(graph.graph.nodes):
        if node.target in _CHECKS:
            graph.graph.erase_node(node)


def _counts_by_sizes(graph: fx.GraphModule) -> None:
    """How many numbers a tensor has is the product of its sizes: ONNX has no operator that counts them."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.sym_numel.default:
            continue
        (tensor,) = node.args
        with graph.graph.inserting_before(node):
            count: Any = 1
            for place, size in enumerate(tensor.meta["val"].shape):
                count = _times(graph, count, _size(graph, tensor, place, size))
        node.replace_all_uses_with(count)
        graph.graph.erase_node(node)


def _size(graph: fx.GraphModule, tensor: fx.Node, place: int, size: Any) -> Any:
    if not isinstance(size, torch.SymInt):
        return size
    node = graph.graph.call_function(aten.sym_size.int, (tensor, place))
    node.meta["val"] = size
    return node


def _times(graph: fx.GraphModule, a: Any, b: Any) -> Any:
    """The product of numbers or nodes, of which ``a`` or ``b`` may be 1."""
    if not isinstance(b, fx.Node) and b == 1:
        return a
    values = [each.meta["val"] if isinstance(each, fx.Node) else each for each in (a, b)]
    if all(isinstance(value, int) for value in values):
        return values[0] * values[1]
    node = graph.graph.call_function(operator.mul, (a, b))
    node.meta["val"] = values[0] * values[1]
    return node


def _squeezed_one_by_one(graph: fx.GraphModule) -> None:
    """ONNX has a form of squeezing one place."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.squeeze.dims:
            continue
        squeezed, places = node.args
        last = squeezed.meta["val"].dim()
        for place in sorted((place % last for place in places), reverse=True):
            with graph.graph.inserting_before(node), node.meta["val"].fake_mode:
                value = aten.squeeze.dim(squeezed.meta["val"], place)
                squeezed = graph.graph.call_function(aten.squeeze.dim, (squeezed, place))
                squeezed.meta["val"] = value
        node.replace_all_uses_with(squeezed)
        graph.graph.erase_node(node)


def _numbers_as_tensors(graph: fx.GraphModule) -> None:
    """A number that follows from the batch size is a tensor to ONNX, which has no operators for numbers."""
    for node in graph.graph.nodes:
        if getattr(node.target, "_overloadname", "") != "Scalar" or len(node.args) < 2:
            continue
        number, packet = node.args[1], node.target.overloadpacket
        if isinstance(number, fx.Node) and hasattr(packet, "Tensor"):
            like = node.args[0].meta["val"]
            with graph.graph.inserting_before(node), like.fake_mode:
                dtype = {"dtype": like.dtype}
                tensor = graph.graph.call_function(aten.scalar_tensor.default, (number,), dtype)
                tensor.meta["val"] = aten.scalar_tensor.default(number.meta["val"], **dtype)
            node.target, node.args = packet.Tensor, (node.args[0], tensor, *node.args[2:])


def _without_pooling_indices(graph: fx.GraphModule) -> None:
    """max_pool2d in place of max_pool2d_with_indices: nothing reads the indices, and TensorRT has none."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.max_pool2d_with_indices.default:
            continue
        if all(user.args[1] == 0 for user in node.users):
            with graph.graph.inserting_before(node):
                pooled = graph.graph.call_function(aten.max_pool2d.default, node.args, node.kwargs)
                pooled.meta["val"] = node.meta["val"][0]
            for value in list(node.users):
                value.replace_all_uses_with(pooled)
                graph.graph.erase_node(value)
            graph.graph.erase_node(node)
