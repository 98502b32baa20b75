"""Which call in somebody's code an operator of PyTorch comes from, for messages that name the call."""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_STANDARD = sysconfig.get_path("stdlib")
_KEY = "edgefill"
# In place of an operator: the first call that draws random numbers, and that computes in bfloat16.
RANDOM, BFLOAT16 = "random", "bfloat16"
_LAST = "last"  # in place of an operator: the call that a trace came to, and no further


@dataclass(frozen=True)
class Attempt:
    """What is being exported: somebody's code, and how it is traced.

    ``inputs`` have the batch that is traced, ``examples`` the one that was handed over.
    """

    step: Callable[..., Any]
    inputs: Sequence[Tensor]
    examples: Sequence[Tensor]
    trace: Callable[[Callable[..., Any]], Any]

    @cached_property
    def calls(self) -> dict[str, str]:
        """Operator, such as ``aten::index_put``, → the call that runs it, forward or backward.

        What fails in the code ends the search: what was seen until then comes back.
        """
        found = _Found()
        try:
            with found.operators, found.functions:
                self.step(*self.inputs)
        except Exception:  # noqa: BLE001 - it is being run because it could not be exported
            pass
        return found.calls

    @cached_property
    def traced_calls(self) -> dict[str, str]:
        """The same of the operators of a trace, such as ``prims.igamma.default``, named as they are there."""
        found, create = _Found(), fx.Graph.create_node

        def noted(graph: fx.Graph, op: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
            found.calls.setdefault(str(target), found.label())
            return create(graph, op, target, *args, **kwargs)

        try:
            with mock.patch.object(fx.Graph, "create_node", noted):
                self.retrace(found)
            found.calls.pop(_LAST)
        except Exception:  # noqa: BLE001 - it is being traced because it could not be exported
            pass
        return found.calls

    @property
    def last_call(self) -> str:
        """The call that a trace comes to before it fails; empty where it comes to none."""
        return self.traced_calls.get(_LAST, "")

    def retrace(self, found: _Found | None = None) -> None:
        """Traces once more, while ``call_under_way`` tells. Raises whatever the code does."""
        watching = found or _Found()

        def watched(*inputs: Tensor) -> Any:
            with watching.operators, watching.functions:
                return self.step(*inputs)

        _watching.append(watching)
        try:
            self.trace(watched)
        finally:
            _watching.pop()

    def call_of(self, operator: str) -> str:
        """The call that ``operator`` comes from, or ``operator`` where no call can be told."""
        namespace, _, rest = operator.replace("::", ".").partition(".")
        if namespace not in ("aten", "prims"):
            return operator  # of somebody's own, by a name that they know
        name = rest.partition(".")[0]
        bare = name.removesuffix("_backward").removesuffix("_functional")
        viewed = name.removesuffix("_scatter")  # what makes functions of writes calls it so
        for known in (
            name,
            bare,
            viewed,
            f"{name}_",
            f"special_{name}",
            f"special_{name.removeprefix('bessel_')}",
        ):
            if f"aten::{known}" in self.calls:
                return self.calls[f"aten::{known}"] or operator
        for target, call in self.traced_calls.items():
            if call and (target == operator or target.startswith(f"{operator}.")):
                return call
        return operator

    @cached_property
    def error(self) -> Exception | None:
        """What the code raises of itself, at the examples and in PyTorch's eager mode."""
        try:
            self.step(*(each.clone() for each in self.examples))
        except Exception as error:  # noqa: BLE001 - it is somebody's code
            return error
        return None

    @property
    def uses_scripts(self) -> bool:
        """Whether the code runs a function or a module that torch.jit.script compiled."""
        seen: list[Any] = []
        run = torch.jit.ScriptFunction.__call__

        def noted(function: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(function)
            return run(function, *args, **kwargs)

        def entered(module: nn.Module, _: Any) -> None:
            if isinstance(module, torch.jit.ScriptModule):
                seen.append(module)

        hook = nn.modules.module.register_module_forward_pre_hook(entered)
        try:
            with mock.patch.object(torch.jit.ScriptFunction, "__call__", noted):
                self.step(*self.inputs)
        except Exception:  # noqa: BLE001 - it is being run because it could not be exported
            pass
        finally:
            hook.remove()
        return bool(seen)


def line_of(error: BaseException) -> str:
    """The last line of somebody's own code on the way to ``error``; empty where there is none."""
    return _own_line([*_within_step(traceback.extract_tb(error.__traceback__))])


def raised_by_others(error: BaseException) -> bool:
    """Whether somebody's own code raised ``error``, and not PyTorch on its behalf."""
    stack = traceback.extract_tb(error.__traceback__)
    return bool(stack) and _is_foreign(stack[-1])


def raised_by_a_form(error: BaseException) -> bool:
    """Whether one of ``decompositions`` refuses what it was given."""
    stack = traceback.extract_tb(error.__traceback__)
    return bool(stack) and Path(stack[-1].filename).parent.name == "decompositions"


def operator_of(error: BaseException) -> str:
    """The operator that was being rewritten when ``error`` was raised, as function without writes; or ""."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        target = frame.f_locals.get("target")
        if frame.f_code.co_name == "call_function" and isinstance(target, torch._ops.OpOverload):
            return str(target.overloadpacket)
    return ""


def place() -> str:
    """Where somebody's own code is running: the module's path and the line; empty where it is not."""
    line, module = _own_line(_within_step(traceback.extract_stack())), _module()
    return f"in {module}, {line}" if module and line else line


def call_under_way() -> str:
    """The call that is running, or whose gradient is; empty where none is or nobody watches."""
    return _watching[-1].label() if _watching else ""


def _within_step(stack: Sequence[traceback.FrameSummary]) -> Sequence[traceback.FrameSummary]:
    """Of ``stack`` what lies within the code that is exported, and not what exports it."""
    ours = [number for number, frame in enumerate(stack) if frame.filename.startswith(_OURS[1])]
    return stack[ours[0] :] if ours else stack


def _module() -> str:
    """The path of the module that is running, within the outermost one; empty where none is."""
    running: list[nn.Module] = []
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        owner = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
        if isinstance(owner, nn.Module):
            running.append(owner)
    if not running:
        return ""
    paths = {id(part): path for path, part in running[-1].named_modules()}
    return paths.get(id(running[0])) or type(running[0]).__name__


def _own_line(stack: Sequence[traceback.FrameSummary], *, tell: bool = True) -> str:
    for frame in reversed(stack):
        if _is_foreign(frame):
            what = f": {frame.line}" if tell and frame.line else ""
            return f"{Path(frame.filename).name}, line {frame.lineno}{what}"
    return ""


def _is_foreign(frame: traceback.FrameSummary) -> bool:
    """Whether ``frame`` is somebody's own code: neither PyTorch's, nor ours, nor Python's library."""
    if frame.filename.startswith((*_OURS, "<")):
        return False
    return "site-packages" in frame.filename or not frame.filename.startswith(_STANDARD)


class _Found:
    def __init__(self) -> None:
        self.calls: dict[str, str] = {}
        self.now = ""
        self.functions, self.operators = _Functions(self), _Operators(self)

    def label(self) -> str:
        """The call that is running, or whose gradient is."""
        node = torch._C._current_autograd_node()
        return self.now if node is None else str(node.metadata.get(_KEY, self.now))


_WRITTEN = {"torch.nn.functional.": "F.", "torch.Tensor.": "Tensor.", "torch.functional.": "torch."}
_watching: list[_Found] = []  # traces that note each call, the innermost last


def _label(function: Any) -> str:
    """The call of ``function`` as it is written, the module that it is in, and its line."""
    function = inspect.unwrap(function)  # what stands in for a function of PyTorch is called as that is
    name = resolve_name(function) or getattr(function, "__name__", str(function))
    for module_name, written in _WRITTEN.items():
        name = name.replace(module_name, written)
    module, line = _module(), _own_line(_within_step(traceback.extract_stack()), tell=False)
    return name + (f" in {module}" if module else "") + (f" ({line})" if line else "")


class _Functions(TorchFunctionMode):
    """Notes each call of PyTorch, and marks the way back that it leaves behind."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if _is_no_call(function):
            return function(*args, **(kwargs or {}))
        self.found.now = self.found.calls[_LAST] = label = _label(function)
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                _mark(value.grad_fn, label)
        return result


def _is_no_call(function: Any) -> bool:
    """Whether nobody wrote it as a call: our own gradient, an operator of a form, an attribute."""
    asks = getattr(function, "__name__", "") == "__get__"
    return asks or function is torch.autograd.grad or isinstance(function, torch._ops.OpOverload)


class _Operators(TorchDispatchMode):
    """Notes which call each operator belongs to."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        label = self.found.calls[_LAST] = self.found.label()
        self.found.calls.setdefault(operator.name().partition(".")[0], label)
        if torch.Tag.nondeterministic_seeded in operator.tags:
            self.found.calls.setdefault(RANDOM, label)
        if operator is not torch.ops.aten._to_copy.default and any(map(_is_bfloat16, tree_leaves(args))):
            self.found.calls.setdefault(BFLOAT16, label)
        return operator(*args, **(kwargs or {}))


def _is_bfloat16(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bfloat16


def _mark(node: Any, label: str) -> None:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or _KEY in node.metadata:
            continue
        node.metadata[_KEY] = label
        waiting += [each for each, _ in node.next_functions]
