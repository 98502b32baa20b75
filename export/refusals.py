"""What cannot be exported, said in the words of whoever wrote it: which call, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from edgefill.errors import EdgefillError, ModelError
from edgefill.export.calls import RANDOM, calls_of, line_of, uses_scripts
from edgefill.export.complex_parts import NoFormInParts

_FIXED_BATCH = (
    "the batch size became fixed while tracing ({}): somewhere a module turns x.shape[0] into a number, "
    "or reshapes to a literal batch; use -1 or flatten(1) there"
)
_SCRIPTED = (
    "a function or a module that torch.jit.script compiled keeps one batch size for good; "
    "hand over the module as it was before torch.jit.script, or torch.jit.trace it in its place"
)
_OPERATOR = re.compile(r"(?:OpOverload\(op='|torch\.ops\.|<OpOverload\(op=')((?:aten|prims)\.\w+)")
_ADVICE = {
    "linalg_inv_ex": "solve with torch.linalg.cholesky and solve_triangular instead of inverting",
    "_linalg_solve_ex": "solve with torch.linalg.cholesky and solve_triangular",
    "linalg_lu_solve": "solve with torch.linalg.cholesky and solve_triangular",
    "_linalg_slogdet": "take twice the sum of the logarithms of torch.linalg.cholesky's diagonal",
    "_linalg_det": "take the square of the product of torch.linalg.cholesky's diagonal",
    "nonzero": "it returns as many rows as the data have; write torch.where(mask, new, old)",
    "masked_select": "it returns as many values as the data have; weigh by the mask instead",
    "_unique2": "it returns as many values as the data have",
}
_ATTEMPTED = re.compile(r"\b(aten[:.]{1,2}\w+)")
_INTERNAL = re.compile(
    r"(?i)\bfx\b|guard|symint|symbolic|unhinted|\bstep \d/3|proxy|fake ?tensor|dynamo|\bs\d+\b"
)
_WITHOUT_SHAPES = ("attempted to run this operator", "DynamicOutputShape")
_ON_VALUES = ("data-dependent", "_local_scalar_dense", "DataDependent", "is not tracing-friendly", "Eq(u")


@contextmanager
def explained(step: Callable[..., Any], inputs: Sequence[Tensor]) -> Iterator[None]:
    """Turns whatever PyTorch raises inside into a ModelError that names the call in ``step`` at fault."""
    try:
        yield
    except EdgefillError:
        raise
    except Exception as error:  # tracing runs foreign code and a whole compiler
        raise ModelError(_explanation(error, step, inputs)) from error


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


def fixed_batch(what: str, step: Callable[..., Any], inputs: Sequence[Tensor]) -> str:
    """Why ``step`` works for one batch size alone; ``what`` shows it."""
    return _SCRIPTED if uses_scripts(step, inputs) else _FIXED_BATCH.format(what)


def _explanation(error: BaseException, step: Callable[..., Any], inputs: Sequence[Tensor]) -> str:
    chain = "\n".join(f"{type(each).__name__}: {each}" for each in _causes(error))
    for cause in _causes(error):
        if isinstance(cause, NoFormInParts):
            return (
                f"{_call(cause.operator, step, inputs)} of complex numbers cannot be exported; write it with "
                "their real and imaginary parts"
            )
    if any(words in chain for words in _ON_VALUES):
        return _on_values(error)
    operator = _OPERATOR.search(chain)
    if operator and any(words in chain for words in ("No ONNX function", "decompos", "translating node")):
        return str(no_form(operator[1], step, inputs))
    attempted = _ATTEMPTED.search(chain)
    if attempted and any(words in chain for words in _WITHOUT_SHAPES):
        return str(no_form(attempted[1].replace("::", "."), step, inputs))
    if "dtype Half" in chain:
        return (
            f"an operator has no form in fp16 ({_first_line(error)}); let the module compute there in "
            "float32, by x.float(), or export in fp32"
        )
    if "onstraint" in chain or "pecializ" in chain:
        return fixed_batch(line_of(error) or "the batch is needed as a number", step, inputs)
    where = line_of(error)
    return f"the objective cannot be exported: {_first_line(error)}" + (f" ({where})" if where else "")


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
    return f"PyTorch's exporter does not take it ({type(error).__name__})"
