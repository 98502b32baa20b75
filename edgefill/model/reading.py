"""JSON values to dataclasses, with every value checked: what a manifest and a contract are read by."""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Collection
from typing import Any, TypeVar

from edgefill.errors import ModelError

_LARGEST = 1 << 20  # of whole numbers: sides, counts
_LARGEST_FLOAT = sys.float_info.max
T = TypeVar("T")


def one_of(choices: Collection[str], default: Any = dataclasses.MISSING) -> Any:
    """A field that is one of ``choices``."""
    return dataclasses.field(default=default, metadata={"choices": tuple(choices)})


def read_dataclass(kind: type[T], document: Any, where: str) -> T:
    """The ``kind``, a dataclass, that ``document`` describes: an object with its fields.

    Fields with a default may be left out. Raises ModelError that names the first value that is wrong,
    ``where`` being what holds it.
    """
    if not isinstance(document, dict):
        raise ModelError(f"{where} is {_shown(document)}; expected an object")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in document.keys() - fields.keys():
        near = difflib.get_close_matches(str(key), fields, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else f"; expected {', '.join(fields)}"
        raise ModelError(f"{where} has the unknown key {key!r}{guess}")
    values = {}
    hints = typing.get_type_hints(kind)
    for name, item in fields.items():
        if name in document:
            values[name] = _read(hints[name], document[name], f"{name} of {where}", item.metadata)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ModelError(f"{where} has no {name!r}")
    return kind(**values)


def _read(hint: Any, value: Any, where: str, limits: Any) -> Any:
    """``value`` as the type ``hint``. Raises ModelError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _read(arguments[0], value, where, limits)
    if origin is tuple:
        return _read_tuple(arguments, value, where, limits)
    if origin is dict:
        if not isinstance(value, dict):
            raise ModelError(f"{where} is {_shown(value)}; expected an object")
        return {key: _read(arguments[1], each, f"{key} in {where}", limits) for key, each in value.items()}
    if dataclasses.is_dataclass(hint):
        named = getattr(hint, "named", None)
        if named and isinstance(value, str):
            return named(value, where)
        return read_dataclass(typing.cast(type, hint), value, where)
    return _read_plain(hint, value, where, limits.get("choices", ()))


def _read_tuple(arguments: tuple[Any, ...], value: Any, where: str, limits: Any) -> tuple[Any, ...]:
    count = None if arguments[-1] is ... else len(arguments)
    if not isinstance(value, list) or not value or count not in (None, len(value)):
        raise ModelError(
            f"{where} is {_shown(value)}; expected a list" + f" of {count}" * (count is not None)
        )
    return tuple(_read(arguments[0], each, where, limits) for each in value)


def _read_plain(hint: Any, value: Any, where: str, choices: tuple[str, ...]) -> Any:
    if choices and not (isinstance(value, str) and value in choices):
        raise ModelError(f"{where} is {_shown(value)}; expected one of {', '.join(choices)}")
    if hint is str and isinstance(value, str):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    is_number = (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_FLOAT
    )
    if hint is float and is_number:
        return float(value)
    if hint is int and is_number and isinstance(value, int) and 0 <= value <= _LARGEST:
        return value
    if hint is Any:
        return value
    expected = {str: "a text", bool: "true or false", float: "a number", int: "a whole number from 0 on"}
    raise ModelError(f"{where} is {_shown(value)}; expected {expected.get(hint, hint)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
