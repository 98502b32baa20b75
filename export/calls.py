"""Which call in somebody's code an operator of PyTorch comes from, for messages that name the call."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_KEY = "edgefill"
RANDOM = "random"  # in place of an operator: the first call that draws random numbers


def calls_of(step: Callable[..., Any], inputs: Sequence[Tensor]) -> dict[str, str]:
    """Operator, such as ``aten::index_put``, → the call that runs it, forward or backward, in ``step``.

    What fails in ``step`` ends the search: what was seen until then comes back.
    """
    found = _Found()
    try:
        with found.modules(), found.operators, found.functions:
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
        self.path: list[str] = []
        self.names: dict[int, str] = {}
        self.functions, self.operators = _Functions(self), _Operators(self)

    @contextmanager
    def modules(self) -> Iterator[None]:
        """While it lasts, ``path`` holds the names of the modules that are running."""
        before = nn.modules.module.register_module_forward_pre_hook(self._enter)
        after = nn.modules.module.register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        if not self.path:
            self.names = {id(part): name for name, part in module.named_modules()}
        self.path.append(self.names.get(id(module)) or type(module).__name__)

    def _leave(self, *_: Any) -> None:
        self.path.pop()

    def label(self, function: Any) -> str:
        name = resolve_name(function) or getattr(function, "__name__", str(function))
        name = name.replace("torch.nn.functional.", "F.").replace("torch.Tensor.", "Tensor.")
        where = f" in {self.path[-1]}" if self.path else ""
        line = _own_line(traceback.extract_stack(), tell=False)
        return f"{name}{where}" + (f" ({line})" if line else "")


class _Functions(TorchFunctionMode):
    """Notes each call of PyTorch, and marks the way back that it leaves behind."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.found.now = label = self.found.label(function)
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
        return operator(*args, **(kwargs or {}))


def _mark(node: Any, label: str) -> None:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or _KEY in node.metadata:
            continue
        node.metadata[_KEY] = label
        waiting += [each for each, _ in node.next_functions]
