"""Messages of protobuf: the few ways of reading and writing that ONNX files need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Fields = Iterator[tuple[int, int | memoryview]]


def renamed(message: memoryview, names: Mapping[int, Mapping[str, str]]) -> bytes:
    """``message`` with the texts in some of its fields replaced by others, by field number."""
    parts = []
    for number, value in fields(message):
        new = names[number].get(text(value)) if number in names else None
        parts.append(wired(number, value if new is None else new.encode()))
    return b"".join(parts)


def texts(message: memoryview, wanted: int) -> list[str]:
    return [text(value) for number, value in fields(message) if number == wanted]


def name_of(value: int | memoryview, number: int = 1) -> str:
    return next(iter(texts(message(value), number)), "")


def wired(number: int, value: int | memoryview | bytes) -> bytes:
    """One field of a model, graph, node or value: onnx.proto has no numbers of fixed length there."""
    if isinstance(value, int):
        return _as_varint(number << 3) + _as_varint(value)
    return _as_varint(number << 3 | 2) + _as_varint(len(value)) + bytes(value)


def joined(*parts: tuple[int, int | memoryview | bytes]) -> bytes:
    """A message of ``parts``, each a field's number and value."""
    return b"".join(wired(number, value) for number, value in parts)


def _as_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def fields(data: memoryview) -> Fields:
    """Number and value of each field of one protobuf message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            length, position = _varint(data, position)
        if length is None:
            raise ValueError(f"wire type {wire} at byte {position}")
        if position + length > len(data):
            raise ValueError(f"it ends {position + length - len(data)} bytes too early")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number without end at byte {position}")


def packed(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def message(value: int | memoryview | bytes) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return memoryview(value)


def integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number belongs")
    return value


def text(value: int | memoryview | None) -> str:
    return "" if value is None else bytes(message(value)).decode()
