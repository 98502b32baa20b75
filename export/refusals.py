"""What cannot be exported, said in the words of whoever wrote it: which call, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edgefill.errors import EdgefillError, ModelError
from edgefill.export.calls import (
    BFLOAT16,
    RANDOM,
    calls_of,
    line_of,
    place,
    raised_by_others,
    uses_scripts,
)
from edgefill.export.complex_parts import NoFormInParts

_FIXED_BATCH = (
    "the batch size became fixed while tracing ({}): a loop over samples, len(x), int(x.shape[0]) and a "
    "reshape to a literal batch keep one; compute with the whole batch, by torch.vmap where a function takes "
    "one sample, and reshape with -1 or flatten(1)"
)
_SHOWN = "an input or output has one size of it"
_FORWARD_MODE = (
    "forward-mode differentiation (torch.func.jvp, jacfwd, hessian) needs the batch size as a number while "
    "tracing ({}); take torch.func.jacrev, of torch.func.grad for a hessian"
)
_SCRIPTED = (
    "a function or a module that torch.jit.script compiled keeps one batch size for good; "
    "hand over the module as it was before torch.jit.script, or torch.jit.trace it in its place"
)
_OPERATOR = re.compile(r"(?:OpOverload\(op='|torch\.ops\.|<OpOverload\(op=')(\w+\.\w+)")
_ADVICE = {
    "linalg_lstsq": (
        "for a matrix of full column rank write Q, R = torch.linalg.qr(a) and "
        "torch.linalg.solve_triangular(R, Q.mT @ b, upper=True)"
    ),
    "linalg_pinv": (
        "for a matrix of full column rank write Q, R = torch.linalg.qr(a) and "
        "torch.linalg.solve_triangular(R, Q.mT, upper=True)"
    ),
    "_ctc_loss": "write its recursion over the frames with torch.logsumexp, one step after the other",
    "nonzero": "it returns as many rows as the data have; write torch.where(mask, new, old)",
    "masked_select": "it returns as many values as the data have; weigh by the mask instead",
    "_unique2": "it returns as many values as the data have",
}
_ATTEMPTED = re.compile(r"\b(aten[:.]{1,2}\w+)")
_INTERNAL = re.compile(
    r"(?i)\bfx\b|guard|symint|symbolic|unhinted|unbacked|\bstep \d/3|proxy|proxies|fake ?tensor|dynamo"
    r"|\b[su]\d+\b"
)
_MIXED = ("should be the same", "same dtype", "expected scalar type")
_WITHOUT_SHAPES = ("attempted to run this operator", "DynamicOutputShape")
_ON_VALUES = ("data-dependent", "_local_scalar_dense", "DataDependent", "is not tracing-friendly", "Eq(u")


@contextmanager
def what_fixes(size: int) -> Iterator[list[str]]:
    """Where somebody's code makes a number of what is ``size`` in a trace, and what to do instead.

    The list grows while it runs.
    """
    found: list[str] = []
    replace = ShapeEnv._set_replacement

    def noted(env: ShapeEnv, symbol: Any, value: Any, reason: str) -> None:
        if value.is_number and env.backed_var_to_val.get(symbol) == size:
            forward_mode = torch.autograd.forward_ad._current_level >= 0
            found.append((_FORWARD_MODE if forward_mode else _FIXED_BATCH).format(place() or _SHOWN))
        replace(env, symbol, value, reason)

    with mock.patch.object(ShapeEnv, "_set_replacement", noted):
        yield found


@contextmanager
def explained(step: Callable[..., Any], inputs: Sequence[Tensor], fixed: Sequence[str]) -> Iterator[None]:
    """Turns whatever PyTorch raises inside into a ModelError that names the call in ``step`` at fault.

    ``fixed`` says, by then, what made a number of the batch size.
    """
    try:
        yield
    except EdgefillError as error:
        where = line_of(error)
        raise (ModelError(f"{error} ({where})") if where else error) from error
    except Exception as error:  # tracing runs foreign code and a whole compiler
        raise ModelError(_explanation(error, step, inputs, fixed)) from error


def refuse_random_numbers(graph: fx.GraphModule, step: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
    """Raises ModelError that names the call whose result differs from run to run."""
    for node in graph.graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            call = calls_of(step, inputs).get(RANDOM, f"the operator {node.target}")
            raise ModelError(
                f"{call} draws random numbers, and a graph computes the same each time; call eval() on the "
                "modules, or make the noise an input of the objective"
            )


def refuse_bfloat16(graph: fx.GraphModule, step: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
    """Raises ModelError that names the call which computes in bfloat16; rounding to it and back may be."""
    for node in graph.graph.nodes:
        if node.op != "call_function" or node.target is torch.ops.aten._to_copy.default:
            continue
        values = [each.meta.get("val") for each in (node, *node.all_input_nodes)]
        if any(isinstance(value, Tensor) and value.dtype == torch.bfloat16 for value in values):
            call = calls_of(step, inputs).get(BFLOAT16, f"the operator {node.target}")
            raise ModelError(
                f"{call} computes in bfloat16, for which ONNX Runtime has no operators; hand over the module "
                "in float32, by module.float(), and leave out the casts, or compute there in float16"
            )


def no_form(operator: str, step: Callable[..., Any], inputs: Sequence[Tensor]) -> ModelError:
    """The refusal of ``operator``, such as ``aten.index_put``, or of what it becomes."""
    name = operator.split("::")[-1].partition(".")[2] or operator
    advice = _ADVICE.get(name.split(".")[0], "write it in other operators")
    call = _call(operator, step, inputs)
    needs = f"it needs {operator}, which" if call != operator else "it"
    return ModelError(
        f"{call} cannot be exported: {needs} has no form in standard ONNX; {advice}, or add a form of it to "
        "edgefill.export.decompositions"
    )


def fixed_batch(fixed: Sequence[str], step: Callable[..., Any], inputs: Sequence[Tensor]) -> str:
    """Why ``step`` works for one batch size alone; ``fixed`` is what ``what_fixes`` found."""
    if uses_scripts(step, inputs):
        return _SCRIPTED
    return fixed[0] if fixed else _FIXED_BATCH.format(_SHOWN)


def _explanation(
    error: BaseException, step: Callable[..., Any], inputs: Sequence[Tensor], fixed: Sequence[str]
) -> str:
    chain = "\n".join(f"{type(each).__name__}: {each}" for each in _causes(error))
    for cause in _causes(error):
        if isinstance(cause, NoFormInParts):
            call = _call(cause.operator, step, inputs)
            return f"{call} of complex numbers cannot be exported; {cause.advice}"
    if any(words in chain for words in _ON_VALUES):
        return _on_values(error)
    operator = _refused_operator(chain)
    if operator and not (fixed and _call(operator, step, inputs) == operator):
        return str(no_form(operator, step, inputs))
    if "Half" in chain and any(words in chain for words in _MIXED):
        return (
            f"a tensor of float32 meets one of fp16 ({_first_line(error)}; {line_of(error)}): make it in the "
            "type of the input, as x.new_zeros(size) does, or export in fp32"
        )
    if "dtype Half" in chain:
        return (
            f"an operator has no form in fp16 ({_first_line(error)}); let the module compute there in "
            "float32, by x.float(), or export in fp32"
        )
    if fixed or "onstraint" in chain or "pecializ" in chain:
        return fixed_batch(fixed or [_FIXED_BATCH.format(line_of(error) or _SHOWN)], step, inputs)
    if raised_by_others(error):
        said = str(error).partition("\n")[0]
        return (
            f"the objective raises {type(error).__name__}({said}) while it is traced ({line_of(error)}): "
            "autocast counts for nothing there, and tensors have no values"
        )
    where = line_of(error)
    return f"the objective cannot be exported: {_first_line(error)}" + (f" ({where})" if where else "")


def _refused_operator(chain: str) -> str:
    """The operator, such as aten.col2im, that the messages of ``chain`` say has no form; or ""."""
    operator, attempted = _OPERATOR.search(chain), _ATTEMPTED.search(chain)
    if operator and any(words in chain for words in ("No ONNX function", "decompos", "translating node")):
        return operator[1]
    if attempted and any(words in chain for words in _WITHOUT_SHAPES):
        return attempted[1].replace("::", ".")
    return ""


def _on_values(error: BaseException) -> str:
    lines = [line for line in map(line_of, _causes(error)) if line]
    where = f" ({lines[-1]})" if lines else ""
    return (
        f"the objective branches on values, or makes numbers or sizes of them{where}: a graph has one way "
        "for all inputs; write torch.where(condition, a, b), and keep sizes independent of the data"
    )


def _call(operator: str, step: Callable[..., Any], inputs: Sequence[Tensor]) -> str:
    """The call that ``operator`` comes from, or ``operator`` where no call can be told."""
    calls = calls_of(step, inputs)
    name = operator.replace("::", ".").split(".")[1]
    for known in (name, name.removesuffix("_backward"), name.removesuffix("_functional"), f"{name}_"):
        if f"aten::{known}" in calls:
            return calls[f"aten::{known}"]
    return operator


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _first_line(error: BaseException) -> str:
    """What went wrong at first, without the words of a compiler about itself."""
    for cause in reversed(list(_causes(error))):
        line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
        if line and not _INTERNAL.search(line):
            return f"{type(cause).__name__}: {line[:300]}"
    name = type(error).__name__
    return "PyTorch's exporter does not take it" + ("" if _INTERNAL.search(name) else f" ({name})")
