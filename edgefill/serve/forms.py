"""Multipart forms in memory: what was uploaded never touches the disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from edgefill.serve.bodies import Claim, chunks
from edgefill.serve.limits import Limits
from edgefill.serve.problems import Problem

_MOST_FILES = 2
_MOST_FIELDS = 32
_MOST_IN_A_FIELD = 4096  # bytes
_MOST_IN_HEADERS = 8192  # of one part


@dataclass(frozen=True)
class Form:
    """The parts of a form by their names: files as bytes, fields as text."""

    files: Mapping[str, bytes]
    fields: Mapping[str, str]


async def read_form(request: Request, limits: Limits, claim: Claim) -> Form:
    """The form that ``request`` carries. Raises Problem for what is none, or not whole."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise Problem("media", "expected multipart/form-data with the files picture and mask")
    parser = _Parser(request, chunks(request, limits, claim))
    try:
        items = (await parser.parse()).multi_items()
        if not parser.is_whole:
            raise Problem("request", "the form ends before its last boundary")
        return _sorted(items)
    except (MultiPartException, KeyError, ValueError) as error:
        raise Problem("request", f"the form cannot be read: {_reason(error)}", _CLOSE) from error
    finally:
        parser.close()


_CLOSE = {"Connection": "close"}  # where a form is given up, its rest has not been read


class _Parser(MultiPartParser):
    """Starlette's parser, which keeps files in memory, limits headers, and knows whether the form ended."""

    is_whole = False

    def __init__(self, request: Request, stream: AsyncIterator[bytes]) -> None:
        super().__init__(
            request.headers,
            _generated(stream),
            max_files=_MOST_FILES,
            max_fields=_MOST_FIELDS,
            max_part_size=_MOST_IN_A_FIELD,
        )
        self.spool_max_size = 0  # which means: never to the disk

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        super().on_header_field(data, start, end)
        self._check_headers()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        super().on_header_value(data, start, end)
        self._check_headers()

    def on_end(self) -> None:
        self.is_whole = True

    def close(self) -> None:
        """Gives up the files, also those that have no end."""
        for file in self._files_to_close_on_error:
            file.close()

    def _check_headers(self) -> None:
        size = len(self._current_partial_header_name) + len(self._current_partial_header_value)
        if size > _MOST_IN_HEADERS or len(self._current_part.item_headers) > _MOST_FIELDS:
            raise MultiPartException("the headers of a part are too long")


async def _generated(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in stream:
        yield chunk


def _sorted(items: list[tuple[str, UploadFile | str]]) -> Form:
    files: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    for name, value in items:
        if name in files or name in fields:
            raise Problem("request", f"the form has the part {name[:40]!r} twice")
        if isinstance(value, str):
            fields[name] = value
        else:
            files[name] = value.file.read()
    return Form(files, fields)


def _reason(error: Exception) -> str:
    return str(getattr(error, "message", "")) or "it is not in the form of RFC 7578"
