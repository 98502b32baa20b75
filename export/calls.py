"""Which call in somebody's code an operator of PyTorch comes from, for messages that name the call."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_KEY = "edgefill"
# In place of an operator: the first call that draws random numbers, and that computes in bfloat16.
RANDOM, BFLOAT16 = "random", "bfloat16"


def calls_of(step: Callable[..., Any], inputs: Sequence[Tensor]) -> dict[str, str]:
    """Operator, such as ``aten::index_put``, → the call that runs it, forward or backward, in ``step``.

    What fails in ``step`` ends the search: what was seen until then comes back.
    """
    found = _Found()
    try:
        with found.operators, found.functions:
            step(*inputs)
    except Exception:  # noqa: BLE001 - it is being run because it could not be exported
        pass
    return found.calls


def uses_scripts(step: Callable[..., Any], inputs: Sequence[Tensor]) -> bool:
    """Whether ``step`` runs a function or a module that torch.jit.script compiled."""
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
            step(*inputs)
    except Exception:  # noqa: BLE001 - it is being run because it could not be exported
        pass
    finally:
        hook.remove()
    return bool(seen)


def line_of(error: BaseException) -> str:
    """The last line of somebody's own code on the way to ``error``; empty where there is none."""
    return _own_line(traceback.extract_tb(error.__traceback__))


def raised_by_others(error: BaseException) -> bool:
    """Whether somebody's own code raised ``error``, and not PyTorch on its behalf."""
    stack = traceback.extract_tb(error.__traceback__)
    return bool(stack) and not stack[-1].filename.startswith((*_OURS, "<"))


def place() -> str:
    """Where somebody's own code is running: the module's path and the line; empty where it is not."""
    line, module = _own_line(traceback.extract_stack()), _module()
    return f"in {module}, {line}" if module and line else line


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
        if not frame.filename.startswith((*_OURS, "<")):
            what = f": {frame.line}" if tell and frame.line else ""
            return f"{Path(frame.filename).name}, line {frame.lineno}{what}"
    return ""


class _Found:
    def __init__(self) -> None:
        self.calls: dict[str, str] = {}
        self.now = ""
        self.functions, self.operators = _Functions(self), _Operators(self)


def _label(function: Any) -> str:
    """The call of ``function`` as it is written, the module that it is in, and its line."""
    name = resolve_name(function) or getattr(function, "__name__", str(function))
    name = name.replace("torch.nn.functional.", "F.").replace("torch.Tensor.", "Tensor.")
    module, line = _module(), _own_line(traceback.extract_stack(), tell=False)
    return name + (f" in {module}" if module else "") + (f" ({line})" if line else "")


class _Functions(TorchFunctionMode):
    """Notes each call of PyTorch, and marks the way back that it leaves behind."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.found.now = label = _label(function)
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                _mark(value.grad_fn, label)
        return result


class _Operators(TorchDispatchMode):
    """Notes which call each operator belongs to."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        node = torch._C._current_autograd_node()
        label = node.metadata.get(_KEY, self.found.now) if node is not None else self.found.now
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
