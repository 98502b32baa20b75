"""What code asks, while it is traced, of tensors that depend on no input: flags, scales, masks in buffers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from edgefill.errors import ModelError

aten = torch.ops.aten

_BRANCHES = ("cond", "while_loop", "scan", "map")
_INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
# Without a form in ONNX: of constants, such as weights that are kept orthogonal, the result is one too.
_COMPUTED = (
    aten.linalg_matrix_exp.default,
    aten._linalg_svd.default,
    aten._linalg_eigh.default,
    aten.linalg_pinv.atol_rtol_tensor,
)


class KnownConstants(TorchDispatchMode):
    """Answers with numbers, where a trace knows none, what is asked of constants and of what is made of them.

    Nothing else is computed here but a few functions of matrices: the trace sees every operator as before.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self._made: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensor → how to make it of constants
        self._written: set[int] = set()  # storages of constants that the trace writes into

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not isinstance(operator, torch._ops.OpOverload):
            _refuse_branches(operator)
            return operator(*args, **kwargs)
        self._written |= {_storage(leaf) for leaf in _tensors(_written(operator, args))}
        if operator in _INDEXED and not (args[2:] and args[2].numel() == 1):
            args = (args[0], self._counted(args[1]), *args[2:])
        known = self._is_known(operator, args, kwargs)
        if known and (_asks(operator) or operator in _COMPUTED or _is_seeded(operator, kwargs)):
            return self._answer(operator, args, kwargs)
        result = operator(*args, **kwargs)
        if known:
            self._remember(result, lambda: self._answer(operator, args, kwargs))
        return result

    def _remember(self, result: Any, make: Callable[[], Any]) -> None:
        """How to ``make`` a ``result`` of constants, or each of several."""
        if isinstance(result, FakeTensor):
            self._made[result] = make
        elif isinstance(result, (tuple, list)):
            for place, each in enumerate(result):
                self._remember(each, functools.partial(_at, make, place))

    def _counted(self, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
        """``indices`` with the places where a constant mask is true, whose number a mask does not tell."""
        counted: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype == torch.bool and self._is_constant(index):
                counted += self._answer(aten.nonzero.default, (index,), {}).unbind(1)
            else:
                counted.append(index)
        return counted

    def _is_known(self, operator: Any, args: Any, kwargs: Any) -> bool:
        """Whether ``operator`` gives the same each time, made of constants alone."""
        if operator._schema.is_mutable:
            return False
        if torch.Tag.nondeterministic_seeded in operator.tags and not _is_seeded(operator, kwargs):
            return False
        leaves = tree_leaves((args, kwargs))
        if any(isinstance(leaf, (torch.SymInt, torch.SymFloat, torch.SymBool)) for leaf in leaves):
            return False
        return all(map(self._is_constant, _tensors(leaves)))

    def _is_constant(self, tensor: Tensor) -> bool:
        made = not isinstance(tensor, FakeTensor) or tensor in self._made
        return made and _storage(tensor) not in self._written

    def _answer(self, operator: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with _disable_current_modes():
            args, kwargs = tree_map_only(Tensor, self._value, (args, kwargs))
            return operator(*args, **kwargs)

    def _value(self, tensor: Tensor) -> Tensor:
        made = self._made.get(tensor)
        return tensor.detach() if made is None else made()


def _is_seeded(operator: Any, kwargs: dict[str, Any]) -> bool:
    """Whether ``operator`` draws from a generator of its own; one that goes on is found in eager mode."""
    drawn = torch.Tag.nondeterministic_seeded in operator.tags
    return drawn and isinstance(kwargs.get("generator"), torch.Generator)


def _at(make: Callable[[], Any], place: int) -> Any:
    return make()[place]


def _refuse_branches(operator: Any) -> None:
    """Raises ModelError for what PyTorch keeps as a branch or a loop."""
    if operator.name() in _BRANCHES:
        raise ModelError(
            f"torch.{operator.name()} cannot be exported, as a graph has one way for all inputs: write "
            "torch.where(condition, a, b) in the place of a branch, and a loop with a fixed number of rounds"
        )


def _asks(operator: Any) -> bool:
    """Whether ``operator`` gives no tensor, or one whose size follows from values; not what a trace knows."""
    if operator.namespace == "prim":  # such as prim.device
        return False
    tensors = any("Tensor" in str(each.type) for each in operator._schema.returns)
    return not tensors or torch.Tag.dynamic_output_shape in operator.tags


def _written(operator: Any, args: Sequence[Any]) -> list[Any]:
    """Those of ``args`` that ``operator`` changes."""
    signature = zip(operator._schema.arguments, args, strict=False)
    return [value for argument, value in signature if argument.is_write]


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
