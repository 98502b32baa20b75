"""A table of keys and values as LevelDB writes it, which TensorFlow's checkpoints have as their index.

It is blocks, then a footer of 48 bytes: where the block stands that indexes the others, and a magic number. A
block is entries, each with the number of bytes that its key shares with the one before it, then the places of
entries whose keys are whole, and then one byte for its compression and a checksum.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgefill.errors import ModelError
from edgefill.export.weights.formats import TABLE_END

LARGEST = 2**20  # bytes of a table; that of a thousand tensors has 100 thousand
_FOOTER, _TRAILER, _LONGEST_KEY = 48, 5, 512
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reversed


class Cursor:
    """Reads ``data`` from ``place`` to ``end``. Raises ModelError beyond it."""

    def __init__(self, data: bytes, place: int = 0, end: int | None = None) -> None:
        self.data, self.place = data, place
        self.end = len(data) if end is None else end

    def __bool__(self) -> bool:
        return self.place < self.end

    def take(self, count: int) -> bytes:
        if count > self.end - self.place:
            raise ModelError(f"{count} bytes are said to come where {self.end - self.place} are left")
        self.place += count
        return self.data[self.place - count : self.place]

    def varint(self) -> int:
        """A number of at most 64 bits, seven of them in a byte."""
        value = 0
        for shift in range(0, 64, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ModelError("a number has more than 64 bits")


def read_table(data: bytes) -> dict[bytes, bytes]:
    """The values in ``data`` by their keys, in its order. Raises ModelError for damaged or large ones."""
    if len(data) < _FOOTER or not data.endswith(TABLE_END):
        raise ModelError("it does not end as a table does")
    if len(data) > LARGEST:
        raise ModelError(f"it has {len(data)} bytes, where at most {LARGEST} are read")
    footer = Cursor(data, len(data) - _FOOTER)
    _handle(footer)  # of what describes the table, which nothing needs
    found: dict[bytes, bytes] = {}
    end = 0
    for _, value in _entries(_block(data, *_handle(footer))):
        place, size = _handle(Cursor(value))
        if place < end:
            raise ModelError("its blocks overlap")
        end = place + size
        found.update(_entries(_block(data, place, size)))
    return found


def masked_checksum(data: bytes) -> int:
    """CRC-32C of ``data``, masked as it is stored."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _remainder(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(map(_remainder, range(256)))


def _handle(cursor: Cursor) -> tuple[int, int]:
    """Where a block stands, and how many bytes it has without its trailer."""
    return cursor.varint(), cursor.varint()


def _block(data: bytes, place: int, size: int) -> bytes:
    cursor = Cursor(data, min(place, len(data)), len(data) - _FOOTER)
    content = cursor.take(size)
    trailer = cursor.take(_TRAILER)
    if masked_checksum(content + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ModelError("the checksum of a block is another: it is damaged")
    if trailer[0] != 0:
        raise ModelError(f"a block is compressed (type {trailer[0]}), which TensorFlow's own are not")
    return content


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ModelError(f"a block of {len(block)} bytes says that it has {restarts} restarts")
    cursor, key = Cursor(block, 0, end), b""
    while cursor:
        shared, own, size = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key) or shared + own > _LONGEST_KEY:
            raise ModelError(f"a key of {shared + own} bytes shares {shared} with one of {len(key)}")
        key = key[:shared] + cursor.take(own)
        yield key, cursor.take(size)
