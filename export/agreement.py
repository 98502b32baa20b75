"""Whether a gradient graph computes what PyTorch computes in eager mode, before anybody has it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from edgefill.errors import ModelError
from edgefill.export.plain_forms import as_written, quiet
from edgefill.export.proof import run_graph

_BATCHES = (2, 5)
_LIMIT = 1e-3  # of the largest number of an output
_ROUNDING = 1e-4  # of the largest number of an output, between two calls of eager mode
_NOTHING = 1e-6  # of the loss, or of 1 if that is less: what an output that is zero in eager mode may be
_NUDGE = 1e-6  # by which inputs are moved, relatively, to see how much of a difference is rounding
_SLACK = 20.0  # times what a nudge changes

Results = dict[str, Tensor]
Eager = Callable[[Mapping[str, Tensor]], Results]


def check(model: ModelProto, evaluate: Eager, examples: Mapping[str, Tensor], shared: Sequence[str]) -> None:
    """Raises ModelError that names the first output of ``model`` that is not what ``evaluate`` returns.

    At random inputs with two batch sizes; the loss may be off by a thousandth of its largest value, so may
    the others, and by what a change of the inputs in their last digits makes of it.
    """
    content = model.SerializeToString()

    def eager(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        try:
            with as_written(), quiet():
                return evaluate({name: tensor.clone() for name, tensor in inputs.items()})
        except Exception as error:  # it is somebody's code
            shapes = {name: list(tensor.shape) for name, tensor in inputs.items()}
            raise ModelError(
                f"the objective was exported, but does not run in PyTorch on inputs of {shapes}: {error}"
            ) from error

    for batch in _BATCHES:
        inputs, expected = _case(eager, examples, shared, batch)
        again = eager(inputs)
        nudged = eager({name: _nudged(tensor) for name, tensor in inputs.items()})
        found = run_graph(content, inputs)
        exact = functools.cache(functools.partial(_in_double, eager, inputs))
        for name, value in expected.items():
            if not _repeats(value, again[name]):
                raise ModelError(
                    f"the objective gives another {name} each time that it is called: does it draw random "
                    "numbers, or remember its last call? Make what changes an input"
                )
            nothing = _NOTHING * max(1.0, float(expected["loss"].abs().max()))
            _compare(name, found[name], value, nudged[name], nothing, exact)


def _repeats(value: Tensor, again: Tensor) -> bool:
    """Whether both are one result but for rounding, which depends on where in memory a matrix lies."""
    if value.shape != again.shape or not value.is_floating_point() or not value.numel():
        return torch.equal(value, again)
    return float((again - value).abs().max()) <= _ROUNDING * float(value.abs().max())


def _compare(
    name: str, found: Tensor, expected: Tensor, nudged: Tensor, nothing: float, exact: Callable[[], Results]
) -> None:
    if found.shape != expected.shape:
        raise ModelError(
            f"the exported {name} has the shape {list(found.shape)}, PyTorch's {list(expected.shape)}; does "
            "a size follow from the values, or does the code ask how large the batch is?"
        )
    if not expected.numel() or not expected.is_floating_point():
        error, limit = float((found != expected).sum()), 0.0
    else:
        error = float((found - expected).abs().max())
        largest = float(expected.abs().max())
        limit = _LIMIT * largest + _SLACK * float((nudged - expected).abs().max()) if largest else nothing
    if not error <= limit and name in exact():
        # A number next to nothing may be what rounding left of larger ones, in eager mode too.
        limit += _SLACK * float((exact()[name] - expected).abs().max())
    if not error <= limit:
        raise ModelError(
            f"the exported {name} is not what PyTorch computes: {error:.3g} off, not {limit:.3g}; "
            "does the code ask for the type of a tensor, or whether it is traced? Then what was exported is "
            "not what runs in eager mode"
        )


def _in_double(eager: Eager, inputs: Results) -> Results:
    """What ``eager`` makes of ``inputs`` in float64; nothing where it writes, or wants another type."""
    try:
        with _Doubles():
            return eager({name: _doubled(tensor) for name, tensor in inputs.items()})
    except ModelError:
        return {}


class _Doubles(TorchFunctionMode):
    """Computes in float64 what is written for float32. Raises TypeError for what is written into."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name == "__setitem__" or (name[-1:] == "_" and name[-2:] != "__" and name != "requires_grad_"):
            raise TypeError(f"{name} writes into a tensor of another type")
        function = torch.Tensor.double if function is torch.Tensor.float else function
        args, kwargs = tree_map_only((Tensor, torch.dtype), _doubled, (args, kwargs or {}))
        return function(*args, **kwargs)


def _doubled(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    return torch.float64 if value == torch.float32 else value


def _case(
    eager: Eager, examples: Mapping[str, Tensor], shared: Sequence[str], batch: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs where the objective is finite, and what it is there."""
    refusal: ModelError | None = None  # of what was drawn last, such as no probabilities
    for draw in _draws():
        inputs = {
            name: draw(example.detach() if name in shared else _rows(example, batch))
            for name, example in examples.items()
        }
        try:
            expected, refusal = eager(inputs), None
        except ModelError as error:
            refusal = error
            continue
        if all(bool(torch.isfinite(value).all()) for value in expected.values()):
            return inputs, expected
    raise refusal or ModelError(
        "the objective is not finite at numbers drawn at random, nor at example_inputs: give examples at "
        "which it and its gradient are finite, or check=False"
    )


def _draws() -> Iterator[Callable[[Tensor], Tensor]]:
    """Ways to draw inputs: around the examples, between 0 and 1, close to the examples, the examples."""
    random = torch.Generator().manual_seed(0)

    def drawn(sample: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda example: sample(example) if example.is_floating_point() else example

    yield drawn(lambda x: x + torch.randn(x.shape, generator=random, dtype=x.dtype))
    yield drawn(lambda x: torch.rand(x.shape, generator=random, dtype=x.dtype) * 0.9 + 0.05)
    yield drawn(lambda x: x + 1e-3 * torch.randn(x.shape, generator=random, dtype=x.dtype))
    yield drawn(lambda x: x)


def _rows(example: Tensor, batch: int) -> Tensor:
    return example.detach()[torch.arange(batch) % len(example)].clone()


def _nudged(tensor: Tensor) -> Tensor:
    return tensor * (1 + _NUDGE) if tensor.is_floating_point() else tensor
