"""What cannot be exported, said in the words of whoever wrote it: which call, why, and what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edgefill.errors import EdgefillError, ModelError
from edgefill.export.calls import (
    BFLOAT16,
    RANDOM,
    Attempt,
    call_under_way,
    line_of,
    operator_of,
    place,
    raised_by_a_form,
    raised_by_others,
)
from edgefill.export.complex_parts import NoFormInParts
from edgefill.export.plain_forms import as_written, quiet

# The traced batch must differ from every other input size: equal sizes would share one symbol.
BATCHES = (61, 67, 71, 73, 79, 83, 89, 97)
_FIXED_BATCH = (
    "the batch size became fixed while tracing ({}): a loop over samples, int(x.shape[0]) and a "
    "reshape to a literal batch keep one; compute with the whole batch, by torch.vmap where a function takes "
    "one sample, and reshape with -1 or flatten(1)"
)
_SHOWN = "an input or output has one size of it"
_ASKS = (
    "{} asks for the batch size as a number, which a graph does not have: write what it computes in other "
    "calls, of the whole batch; within torch.vmap, take that call out of it"
)
_FORWARD_MODE = (
    "forward-mode differentiation by torch.autograd.forward_ad needs the batch size as a number while "
    "tracing ({}); take torch.func.jvp, jacfwd or hessian"
)
_SCRIPTED = (
    "a function or a module that torch.jit.script compiled keeps one batch size for good; "
    "hand over the module as it was before torch.jit.script, or torch.jit.trace it in its place"
)
_OPERATOR = re.compile(r"(?:OpOverload\(op='|torch\.ops\.|<OpOverload\(op=')(\w+\.\w+)")
_ADVICE = {
    "linalg_pinv": (
        "for a matrix of full column rank write Q, R = torch.linalg.qr(a) and "
        "torch.linalg.solve_triangular(R, Q.mT, upper=True)"
    ),
    "nonzero": "it returns as many rows as the data have; write torch.where(mask, new, old)",
    "masked_select": "it returns as many values as the data have; weigh by the mask instead",
    "_unique2": "it returns as many values as the data have",
}
_UNSUPPORTED = re.compile(r"UnsupportedOperatorException: (\w+\.\w+)")
_ATTEMPTED = re.compile(r"\b(aten[:.]{1,2}\w+)")
_INTERNAL = re.compile(
    r"(?i)\bfx\b|guard|symint|symbolic|unhinted|unbacked|\bstep \d/3|proxy|proxies|fake ?tensor|dynamo"
    r"|\b[su]\d+\b"
)
_MIXED = ("should be the same", "same dtype", "expected scalar type")
_HALF = re.compile(r"\bHalf\b|float16")
_PRODUCTS = {
    getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm", "baddbmm", "convolution")
}
_WITHOUT_SHAPES = ("attempted to run this operator", "DynamicOutputShape")
_ON_VALUES = ("data-dependent", "_local_scalar_dense", "DataDependent", "is not tracing-friendly", "Eq(u")


_NUMPY = ".numpy() is not supported"


class FixedBatch(Exception):
    """A traced graph has a number in the place of its batch."""


class BranchOnValues(ModelError):
    """The code branches on values, or makes numbers or sizes of them."""


@contextmanager
def what_fixes(size: int) -> Iterator[list[str]]:
    """Where somebody's code makes a number of what is ``size`` in a trace, and what to do instead.

    The list grows while it runs.
    """
    found: list[str] = []
    replace = ShapeEnv._set_replacement

    def noted(env: ShapeEnv, symbol: Any, value: Any, reason: str) -> None:
        known = getattr(env, "backed_var_to_val", None)  # which PyTorch 2.9 calls by another name
        if value.is_number and (env.var_to_val if known is None else known).get(symbol) == size:
            found.append(_what_asks())
        replace(env, symbol, value, reason)

    with mock.patch.object(ShapeEnv, "_set_replacement", noted):
        yield found


def _what_asks() -> str:
    """Which of somebody's calls makes a number of the batch size now; empty where that cannot be told yet."""
    if torch.autograd.forward_ad._current_level >= 0:
        return _FORWARD_MODE.format(place() or _SHOWN)
    backward = torch._C._current_autograd_node() is not None
    if backward or _within_an_operator():
        call = call_under_way()
        return _ASKS.format(f"the gradient of {call}" if backward else call) if call else ""
    return _FIXED_BATCH.format(place() or _SHOWN)


def _within_an_operator() -> bool:
    """Whether PyTorch's own compiled code asks a tensor for its sizes now, and nobody's Python."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_locals.get("func") is torch.ops.aten.size.default:
            return True
        frame = frame.f_back
    return False


@contextmanager
def explained(attempt: Attempt, fixed: Sequence[str]) -> Iterator[None]:
    """Turns whatever PyTorch raises inside into a ModelError that names the call at fault.

    ``fixed`` says, by then, what made a number of the batch size.
    """
    try:
        yield
    except EdgefillError as error:
        with as_written(), quiet():
            where = line_of(error) or (_refused_call(error, attempt) if raised_by_a_form(error) else "")
        raise (ModelError(f"{error} ({where})") if where else error) from error
    except Exception as error:  # tracing runs foreign code and a whole compiler
        with as_written(), quiet():
            kind = BranchOnValues if _is_on_values(error) else ModelError
            raise kind(_explanation(error, attempt, fixed)) from error


def refuse_random_numbers(graph: fx.GraphModule, attempt: Attempt) -> None:
    """Raises ModelError that names the call whose result differs from run to run."""
    for node in graph.graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            call = attempt.calls.get(RANDOM, f"the operator {node.target}")
            raise ModelError(
                f"{call} draws random numbers, and a graph computes the same each time; call eval() on the "
                "modules, or make the noise an input of the objective"
            )


def refuse_bfloat16(graph: fx.GraphModule, attempt: Attempt) -> None:
    """Raises ModelError that names the call which computes in bfloat16; rounding to it and back may be."""
    for node in graph.graph.nodes:
        if node.op != "call_function" or node.target is torch.ops.aten._to_copy.default:
            continue
        values = [each.meta.get("val") for each in (node, *node.all_input_nodes)]
        if any(isinstance(value, Tensor) and value.dtype == torch.bfloat16 for value in values):
            call = attempt.calls.get(BFLOAT16, f"the operator {node.target}")
            raise ModelError(
                f"{call} computes in bfloat16, for which ONNX Runtime has no operators; hand over the module "
                "in float32, by module.float(), and leave out the casts, or compute there in float16"
            )


def refuse_mixed_types(graph: fx.GraphModule, attempt: Attempt) -> None:
    """Raises ModelError that names the product of tensors of two types, which PyTorch does not run either."""
    for node in graph.graph.nodes:
        if node.target in _PRODUCTS:
            values = [each.meta["val"] for each in node.all_input_nodes]
            found = sorted({str(value.dtype) for value in values if isinstance(value, Tensor)})
            if len(found) > 1:
                call = attempt.call_of(str(node.target).removesuffix(".default"))
                raise ModelError(_mixed(call, found))


def no_form(operator: str, attempt: Attempt) -> ModelError:
    """The refusal of ``operator``, such as ``aten.index_put``, or of what it becomes."""
    name = operator.split("::")[-1].partition(".")[2] or operator
    advice = _ADVICE.get(name.split(".")[0], "write it in other operators")
    return ModelError(
        f"{attempt.call_of(operator)} cannot be exported: it has no form in standard ONNX"
        f"{_needed(operator)}; {advice}, or add a form of it to edgefill.export.decompositions"
    )


def _fixed_batch(fixed: Sequence[str], attempt: Attempt) -> str:
    """Why the code works for one batch size alone; ``fixed`` is what ``what_fixes`` found."""
    if attempt.uses_scripts:
        return _SCRIPTED
    if attempt.error is not None:
        return _own_error(attempt.error)
    if fixed and not fixed[0]:
        fixed = _found_again(attempt)
    return next((each for each in fixed if each), _FIXED_BATCH.format(_SHOWN))


def _refused_call(error: BaseException, attempt: Attempt) -> str:
    """The call whose form raised ``error``, in the first trace or where writes were taken out."""
    operator = operator_of(error)
    return attempt.call_of(operator) if operator else attempt.last_call


def _found_again(attempt: Attempt) -> list[str]:
    """What fixes the batch size, by a trace that knows which call is under way."""
    (size,) = {int(each.shape[0]) for each in attempt.inputs if each.dim()} & set(BATCHES)
    with what_fixes(size) as fixed, suppress(Exception):  # it could not be traced before
        attempt.retrace()
    return fixed


def _needed(operator: str) -> str:
    """The operator in brackets, unless it is one that PyTorch writes its own in."""
    return "" if operator.startswith("prims") else f" ({operator})"


def _own_error(error: Exception) -> str:
    where = line_of(error)
    said = str(error).partition("\n")[0]
    return f"the objective does not run in PyTorch at the examples: {type(error).__name__}: {said}" + (
        f" ({where})" if where else ""
    )


def _mixed(what: str, types: Sequence[str] = ("torch.float16", "torch.float32")) -> str:
    if "torch.float16" not in types:
        names = " and ".join(each.removeprefix("torch.") for each in types)
        return f"tensors of two types, {names}, meet in {what}; convert one of them, as x.to(y.dtype) does"
    return (
        f"a tensor of float32 meets one of fp16 ({what}): make it in the type of the input, as "
        "x.new_zeros(size) does, or export in fp32"
    )


def _explanation(error: BaseException, attempt: Attempt, fixed: Sequence[str]) -> str:
    chain = _chain(error)
    for cause in _causes(error):
        if isinstance(cause, NoFormInParts):
            return f"{attempt.call_of(cause.operator)} of complex numbers cannot be exported; {cause.advice}"
    if _NUMPY in chain:
        return _to_numpy(error, attempt)
    if _is_on_values(error):
        return _on_values(error, attempt)
    operator = _refused_operator(chain)
    if operator and not (fixed and attempt.call_of(operator) == operator):
        return str(no_form(operator, attempt))
    if _HALF.search(chain) and any(words in chain for words in _MIXED):
        return _mixed("; ".join(part for part in (_first_line(error), line_of(error)) if part))
    if "dtype Half" in chain:
        call = line_of(error) or attempt.last_call or "an operator"
        return (
            f"{call} has no form in fp16 ({_first_line(error)}); let the module compute there in float32, by "
            "x.float(), or export in fp32"
        )
    if fixed or isinstance(error, FixedBatch) or "onstraint" in chain or "pecializ" in chain:
        return _fixed_batch(fixed or [_FIXED_BATCH.format(line_of(error) or _SHOWN)], attempt)
    if attempt.error is not None:
        return _own_error(attempt.error)
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
    unsupported = _UNSUPPORTED.search(chain)
    if unsupported:
        return unsupported[1]
    if attempted and any(words in chain for words in _WITHOUT_SHAPES):
        return attempted[1].replace("::", ".")
    return ""


def _chain(error: BaseException) -> str:
    return "\n".join(f"{type(each).__name__}: {each}" for each in _causes(error))


def _is_on_values(error: BaseException) -> bool:
    chain = _chain(error)
    return _NUMPY not in chain and any(words in chain for words in _ON_VALUES)


def _to_numpy(error: BaseException, attempt: Attempt) -> str:
    return (
        f"{line_of(error) or attempt.last_call or 'the objective'} hands a tensor to NumPy, whose functions "
        "a graph does not have: write it with PyTorch's, or make the result an input"
    )


def _on_values(error: BaseException, attempt: Attempt) -> str:
    lines = [line for line in map(line_of, _causes(error)) if line] or [attempt.last_call]
    where = f" ({lines[-1]})" if lines[-1] else ""
    return (
        f"the objective branches on values, or makes numbers or sizes of them{where}: a graph has one way "
        "for all inputs; write torch.where(condition, a, b), and keep sizes independent of the data"
    )


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
