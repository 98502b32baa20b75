"""Complex tensors of a traced function as pairs of real ones: ONNX has no operators for complex numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_any, tree_map_only

aten = torch.ops.aten


class Parts(NamedTuple):
    """The real and the imaginary part of a complex tensor or number; of a real one the latter is 0."""

    real: Any
    imaginary: Any


class NoFormInParts(Exception):
    """``operator``, such as aten.sqrt, has no form in real and imaginary parts."""

    def __init__(self, target: Any) -> None:
        self.operator = str(getattr(target, "overloadpacket", target))
        super().__init__(f"{self.operator} of complex numbers")


class InParts(fx.Interpreter):
    """Runs a traced function with a pair in the place of every complex tensor. Raises NoFormInParts."""

    def __init__(self, traced: fx.GraphModule, constants: Mapping[str, Any]) -> None:
        """``constants`` are those of ``traced`` by name, ``in_parts``; what is written into is a copy."""
        super().__init__(traced)
        self.extra_traceback = False  # an interpreter's words in what it raises
        self._constants = tree_map_only(Tensor, torch.clone, dict(constants))

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._constants[target]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is operator.getitem:
            return args[0][args[1]]
        if target in _MAKE:
            return _MAKE[target](*args)
        made = kwargs.get("dtype")
        complex_made = isinstance(made, torch.dtype) and made.is_complex
        if complex_made or tree_any(_is_complex_value, (args, kwargs), is_leaf=_is_parts):
            return self._of_parts(
                target, args, {**kwargs, "dtype": made.to_real()} if complex_made else kwargs
            )
        result = super().call_function(target, args, kwargs)
        if tree_any(_is_complex, result):
            raise NoFormInParts(target)
        return result

    def _of_parts(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What ``target`` makes of complex arguments, or where it makes complex tensors of real ones."""
        packet = getattr(target, "overloadpacket", target)
        if packet in _OF_SHAPES:
            return target(args[0].real, *args[1:])
        if packet in _FORMS:
            return _FORMS[packet](*args, **kwargs)
        if packet in _EACH:
            real, imaginary = (
                target(*_taken(part, args), **_taken(part, kwargs)) for part in ("real", "imaginary")
            )
            if isinstance(real, (tuple, list)):
                return [Parts(*pair) for pair in zip(real, imaginary, strict=True)]
            return Parts(real, imaginary)
        if getattr(target, "_schema", None) and target._schema.is_mutable and _is_parts(args[0]):
            return self._written(target, args, kwargs)
        raise NoFormInParts(target)

    def _written(self, target: Any, args: Any, kwargs: Any) -> Parts:
        """What ``target``, such as mul_, writes into its first argument, in place."""
        function = getattr(
            getattr(aten, target.overloadpacket.__name__.removesuffix("_")), target._overloadname
        )
        into: Parts = args[0]
        for part, value in zip(into, _parts(self.call_function(function, args, kwargs)), strict=True):
            part.copy_(value)
        return into


def in_parts(value: Any) -> Any:
    """``value``, or its parts where it is a complex tensor."""
    return _parts(value) if _is_complex(value) else value


def _is_parts(value: Any) -> bool:
    return isinstance(value, Parts)


def _is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _is_complex_value(value: Any) -> bool:
    return isinstance(value, (Parts, complex)) or _is_complex(value)


def _parts(value: Any) -> Parts:
    """Of a pair, a tensor or a number."""
    if isinstance(value, Parts):
        return value
    if _is_complex(value):
        return Parts(value.real.clone(), value.imag.clone())
    if isinstance(value, Tensor):
        return Parts(value, torch.zeros_like(value))
    return Parts(complex(value).real, complex(value).imag)


def _taken(part: str, values: Any) -> Any:
    """``values`` with one part of each pair and of each complex number."""

    def take(value: Any) -> Any:
        if isinstance(value, complex):
            return value.real if part == "real" else value.imag
        return getattr(_parts(value), part)

    return tree_map_only((Parts, complex), take, values, is_leaf=_is_parts)


def _multiply(a: Any, b: Any) -> Parts:
    return _bilinear(operator.mul, a, b)


def _bilinear(product: Callable[[Any, Any], Tensor], a: Any, b: Any) -> Parts:
    """Of a real factor each part alone, so that nothing is multiplied with zeros."""
    if not _is_complex_value(a):
        return Parts(product(a, _parts(b).real), product(a, _parts(b).imaginary))
    if not _is_complex_value(b):
        return Parts(product(_parts(a).real, b), product(_parts(a).imaginary, b))
    (c, d), (e, f) = _parts(a), _parts(b)
    return Parts(product(c, e) - product(d, f), product(c, f) + product(d, e))


def _divide(a: Any, b: Any) -> Parts:
    if not _is_complex_value(b):
        return Parts(_parts(a).real / b, _parts(a).imaginary / b)
    e, f = _parts(b)
    size = e * e + f * f
    return _multiply(a, Parts(e / size, -f / size))


def _add(a: Any, b: Any, *, alpha: float = 1) -> Parts:
    (c, d), (e, f) = _parts(a), _parts(b)
    return Parts(c + alpha * e, d + alpha * f)


def _absolute(a: Parts) -> Tensor:
    return aten.hypot(a.real, a.imaginary)


def _exponential(a: Parts) -> Parts:
    size = torch.exp(a.real)
    return Parts(size * torch.cos(a.imaginary), size * torch.sin(a.imaginary))


def _direction(a: Parts) -> Parts:
    size = _absolute(a)
    whole = torch.where(size > 0, size, torch.ones_like(size))
    return Parts(a.real / whole, a.imaginary / whole)


def _power(a: Parts, exponent: Any) -> Parts:
    if not isinstance(exponent, (int, float)) or exponent not in (1, 2, 3):
        raise NoFormInParts(aten.pow)
    result = a
    for _ in range(int(exponent) - 1):
        result = _multiply(result, a)
    return result


def _where(condition: Tensor, a: Any, b: Any) -> Parts:
    (c, d), (e, f) = _parts(a), _parts(b)
    return Parts(torch.where(condition, c, e), torch.where(condition, d, f))


def _equal(a: Any, b: Any) -> Tensor:
    (c, d), (e, f) = _parts(a), _parts(b)
    return (c == e) & (d == f)


def _converted(value: Any, *, dtype: torch.dtype, **_: Any) -> Any:
    """To a complex type, whose real one ``dtype`` is then."""
    return Parts(*(part.to(dtype) for part in _parts(value)))


def _conjugate(a: Parts) -> Parts:
    return Parts(a.real, -a.imaginary)


# Operators that treat both parts alike: moves, and whatever is linear with real coefficients.
_EACH = {
    aten.alias, aten.cat, aten.clone, aten.constant_pad_nd, aten.copy, aten.detach, aten.diagonal,
    aten.expand, aten.flatten, aten.flip, aten.gather, aten.index, aten.index_put, aten.index_select,
    aten.lift_fresh_copy, aten.mean, aten.narrow, aten.neg, aten.new_zeros, aten.permute, aten.repeat,
    aten.reshape, aten.roll, aten.scatter_add, aten.select, aten.select_backward, aten.select_scatter,
    aten.slice, aten.slice_backward, aten.slice_scatter, aten.split, aten.split_with_sizes,
    aten.squeeze, aten.stack, aten.sum, aten.t, aten.transpose, aten.unbind, aten.unfold,
    aten.unsqueeze, aten.view, aten.zeros_like, aten._unsafe_view, aten.new_empty, aten.empty_like,
    aten.lift_fresh, aten.fill, aten.zero, aten.new_empty_strided, aten.squeeze_, aten.t_, aten.transpose_,
    aten.unsqueeze_,
}  # fmt: skip
_MAKE: dict[Any, Callable[..., Parts]] = {
    aten.complex.default: Parts,
    aten.view_as_complex.default: lambda a: Parts(a[..., 0], a[..., 1]),
    aten.polar.default: lambda size, angle: Parts(size * torch.cos(angle), size * torch.sin(angle)),
}
_OF_SHAPES = (aten.sym_size, aten.sym_stride, aten.sym_numel, aten.sym_storage_offset)
_FORMS: dict[Any, Callable[..., Any]] = {
    aten.view_as_real: lambda a: torch.stack([a.real, a.imaginary], -1),
    aten.real: lambda a: a.real,
    aten.imag: lambda a: a.imaginary,
    aten.mul: _multiply,
    aten.div: _divide,
    aten.add: _add,
    aten.sub: lambda a, b, *, alpha=1: _add(a, b, alpha=-alpha),
    aten.mm: lambda a, b: _bilinear(torch.mm, a, b),
    aten.bmm: lambda a, b: _bilinear(torch.bmm, a, b),
    aten.matmul: lambda a, b: _bilinear(torch.matmul, a, b),
    aten.abs: _absolute,
    aten.exp: _exponential,
    aten.sgn: _direction,
    aten.pow: _power,
    aten.angle: lambda a: torch.atan2(a.imaginary, a.real),
    aten.log: lambda a: Parts(torch.log(_absolute(a)), torch.atan2(a.imaginary, a.real)),
    aten.linalg_vector_norm: lambda a, *args, **kwargs: aten.linalg_vector_norm(
        _absolute(a), *args, **kwargs
    ),
    aten.reciprocal: lambda a: _divide(1.0, a),
    aten.conj: _conjugate,
    aten._conj: _conjugate,
    aten._conj_physical: _conjugate,
    aten.conj_physical: _conjugate,
    aten.resolve_conj: lambda a: a,
    aten.where: _where,
    aten.eq: _equal,
    aten.ne: lambda a, b: ~_equal(a, b),
    aten._to_copy: _converted,
    aten.zeros: lambda size, **options: Parts(torch.zeros(size, **options), torch.zeros(size, **options)),
    aten.ones_like: lambda a, **_: Parts(torch.ones_like(a.real), torch.zeros_like(a.real)),
    aten.full_like: lambda a, value, **_: Parts(
        torch.full_like(a.real, complex(value).real), torch.full_like(a.real, complex(value).imag)
    ),
    aten.full: lambda size, value, **options: Parts(
        torch.full(size, complex(value).real, **options), torch.full(size, complex(value).imag, **options)
    ),
    aten.scalar_tensor: lambda value, **options: _parts(complex(value)),
}
