"""Complex tensors of a traced function as pairs of real ones: ONNX has no operators for complex numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_any, tree_map_only

aten = torch.ops.aten

_LARGEST_POWER = 8
_WRITTEN_IN_PART = "make a new one of both parts with torch.complex instead of writing into one of them"


class Parts(NamedTuple):
    """The real and the imaginary part of a complex tensor or number; of a real one the latter is 0."""

    real: Any
    imaginary: Any


class NoFormInParts(Exception):
    """``operator``, such as aten.sqrt, has no form in parts; ``advice`` says what to do instead."""

    def __init__(self, target: Any, advice: str = "write it with their real and imaginary parts") -> None:
        self.advice = advice
        self.operator = str(getattr(target, "overloadpacket", target))
        super().__init__(f"{self.operator} of complex numbers")


class InParts(fx.Interpreter):
    """Runs a traced function with a pair in the place of every complex tensor. Raises NoFormInParts."""

    def __init__(self, traced: fx.GraphModule, constants: Mapping[str, Any]) -> None:
        """``constants`` are those of ``traced`` by name, ``in_parts``; what is written into is a copy."""
        super().__init__(traced)
        self.extra_traceback = False  # an interpreter's words in what it raises
        self._constants = tree_map_only(Tensor, torch.clone, dict(constants))
        for node in traced.graph.nodes:
            if _is_written_in_part(node):
                raise NoFormInParts(aten.view_as_real, _WRITTEN_IN_PART)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._constants[target]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is operator.getitem:
            return args[0][args[1]]
        if target in _MAKE:
            return _MAKE[target](*args)
        if _is_complex_type(kwargs.get("dtype")) or tree_any(
            _is_complex_value, (args, kwargs), is_leaf=_is_parts
        ):
            return self._of_parts(target, args, kwargs)
        result = super().call_function(target, args, kwargs)
        if tree_any(_is_complex, result):
            raise NoFormInParts(target)
        return result

    def _of_parts(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What ``target`` makes of complex arguments, or where it makes complex tensors of real ones."""
        packet, made = getattr(target, "overloadpacket", target), kwargs.get("dtype")
        if packet in _OF_SHAPES:
            return target(args[0].real, *args[1:])
        if packet is aten._to_copy:
            return _converted(args[0], made)
        if _is_complex_type(made):
            kwargs = {**kwargs, "dtype": made.to_real()}
        elif made is not None:
            if packet not in _LIKE:
                raise NoFormInParts(target)
            return target(args[0].real, *args[1:], **kwargs)  # a real tensor of the shape of a complex one
        if packet in _FORMS:
            return _FORMS[packet](*args, **kwargs)
        if packet in _EACH or packet in _LIKE:
            return self._of_each(target, args, kwargs)
        if getattr(target, "_schema", None) and target._schema.is_mutable and _is_parts(args[0]):
            return self._written(target, args, kwargs)
        raise NoFormInParts(target)

    def _of_each(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What ``target`` makes of each part alone."""
        real, imaginary = (
            target(*_taken(part, args), **_taken(part, kwargs)) for part in ("real", "imaginary")
        )
        if isinstance(real, (tuple, list)):
            return [Parts(*pair) for pair in zip(real, imaginary, strict=True)]
        return Parts(real, imaginary)

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


def _is_complex_type(value: Any) -> bool:
    return isinstance(value, torch.dtype) and value.is_complex


def _is_written_in_part(node: fx.Node) -> bool:
    """Whether ``node`` writes into one part of a complex tensor, which would be a copy of it."""
    if not _schema_says(node, "is_write"):
        return False
    written = node.args[0]
    while isinstance(written, fx.Node) and written.target is not aten.view_as_real.default:
        written = written.args[0] if _schema_says(written, "alias_info") else None
    return written is not None


def _schema_says(node: fx.Node, what: str) -> bool:
    """Whether the first argument of ``node`` is written into ("is_write"), or seen by it ("alias_info")."""
    schema = getattr(node.target, "_schema", None)
    return bool(schema and schema.arguments and getattr(schema.arguments[0], what))


def _taken(part: str, values: Any) -> Any:
    """``values`` with one part of what has parts; the imaginary one of real numbers is 0.

    Whole numbers are places and sizes, and the same for both.
    """

    def take(value: Any) -> Any:
        if isinstance(value, Tensor) and not value.is_floating_point():
            return value
        return getattr(_parts(value), part)

    return tree_map_only((Parts, complex, Tensor), take, values, is_leaf=_is_parts)


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
    if isinstance(b, complex):
        return _multiply(a, 1 / b)
    e, f = _parts(b)
    largest = torch.maximum(e.abs(), f.abs())  # of which no square overflows
    e, f = e / largest, f / largest
    size = (e * e + f * f) * largest
    return _multiply(a, Parts(e / size, -f / size))


def _add(a: Any, b: Any, *, alpha: Any = 1) -> Parts:
    (c, d), (e, f) = _parts(a), _parts(b) if alpha == 1 else _multiply(b, alpha)
    return Parts(c + e, d + f)


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
    if not isinstance(exponent, (int, float)) or exponent not in range(1, _LARGEST_POWER + 1):
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


def _converted(value: Any, dtype: torch.dtype | None = None) -> Any:
    """To another complex type, or to a real one, which forgets the imaginary part."""
    if dtype is None:
        return value
    if dtype.is_complex:
        return Parts(*(part.to(dtype.to_real()) for part in _parts(value)))
    return _parts(value).real.to(dtype)


def _joined(join: Callable[..., Tensor]) -> Callable[..., Parts]:
    """``join`` of tensors some of which may be real."""

    def of_each(tensors: Sequence[Any], *args: Any) -> Parts:
        pairs = [_parts(each) for each in tensors]
        return Parts(*(join(list(part), *args) for part in zip(*pairs, strict=True)))

    return of_each


def _filled(fill: Callable[..., Tensor]) -> Callable[..., Parts]:
    """``fill``, whose last argument is a value, which may be real."""

    def of_each(a: Any, *args: Any) -> Parts:
        *before, value = args
        (real, imaginary), (c, d) = _parts(a), _parts(value)
        return Parts(fill(real, *before, c), fill(imaginary, *before, d))

    return of_each


def _conjugate(a: Any) -> Any:
    return a.conjugate() if isinstance(a, complex) else Parts(a.real, -a.imaginary)


def _plus_product(product: Callable[[Any, Any], Tensor]) -> Callable[..., Parts]:
    """``product`` of two matrices, and another one added to it."""

    def of_parts(c: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Parts:
        return _add(_multiply(c, beta), _bilinear(product, a, b), alpha=alpha)

    return of_parts


# Operators that treat both parts alike: moves, and whatever is linear with real coefficients.
_EACH = {
    aten._unsafe_view, aten.alias, aten.clone, aten.cumsum, aten.detach, aten.diagonal, aten.expand,
    aten.flatten, aten.flip, aten.gather, aten.index, aten.index_put, aten.index_select, aten.lift_fresh,
    aten.lift_fresh_copy, aten.mean, aten.narrow, aten.neg, aten.permute, aten.repeat, aten.reshape,
    aten.roll, aten.scatter_add, aten.select, aten.select_backward, aten.select_scatter, aten.slice,
    aten.slice_backward, aten.slice_scatter, aten.split, aten.split_with_sizes, aten.squeeze,
    aten.squeeze_, aten.sum, aten.t, aten.t_, aten.transpose, aten.transpose_, aten.unbind, aten.unfold,
    aten.unsqueeze, aten.unsqueeze_, aten.view, aten.zero,
}  # fmt: skip
# Those that take from their first argument its shape alone.
_LIKE = {
    aten.empty_like, aten.full_like, aten.new_empty, aten.new_empty_strided, aten.new_zeros, aten.ones_like,
    aten.zeros_like,
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
    aten.addmm: _plus_product(torch.mm),
    aten.baddbmm: _plus_product(torch.bmm),
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
    aten.masked_fill: lambda a, mask, value: _where(mask, value, a),
    aten.eq: _equal,
    aten.ne: lambda a, b: ~_equal(a, b),
    aten.cat: _joined(torch.cat),
    aten.stack: _joined(torch.stack),
    aten.copy: lambda a, source, *_: _filled(aten.copy)(a, source),
    aten.fill: _filled(aten.fill),
    aten.constant_pad_nd: lambda a, pads, value=0: _filled(aten.constant_pad_nd)(a, pads, value),
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
