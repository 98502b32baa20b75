"""Bodies of requests, received within their limits: of bytes, of time, and of what all hold together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from edgefill.serve.limits import Limits
from edgefill.serve.problems import Problem


class Held:
    """How many bytes of requests are in memory."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """A claim that is given back when the block ends."""
        claim = Claim(self)
        try:
            yield claim
        finally:
            claim.give_back()


class Claim:
    """The part of one request."""

    def __init__(self, held: Held) -> None:
        self._held, self._own = held, 0

    def take(self, count: int) -> None:
        """Raises Problem where all requests together would hold too much."""
        if self._held.bytes + count > self._held.most:
            raise Problem("unavailable", "the server holds as many pictures as it may", {"Retry-After": "2"})
        self._held.bytes += count
        self._own += count

    def give_back(self) -> None:
        self._held.bytes -= self._own
        self._own = 0


async def chunks(request: Request, limits: Limits, claim: Claim) -> AsyncIterator[bytes]:
    """The body of ``request`` as it arrives.

    Raises Problem where it is too long, too slow, or ends before its Content-Length; ClientDisconnect where
    the client has gone.
    """
    expected = _announced(request)
    if expected is not None and expected > limits.body_bytes:
        raise _too_large(limits)
    count, until = 0, time.monotonic() + limits.receive_seconds
    stream = request.stream().__aiter__()
    while True:
        patience = min(limits.idle_seconds, until - time.monotonic())
        try:
            chunk = await asyncio.wait_for(stream.__anext__(), max(patience, 0.001))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise Problem("slow", f"only {count} bytes of the request arrived", _CLOSE) from None
        count += len(chunk)
        if count > limits.body_bytes:
            raise _too_large(limits)
        claim.take(len(chunk))
        yield chunk


async def whole(request: Request, limits: Limits, claim: Claim) -> bytes:
    """The whole body; raises as ``chunks`` does."""
    return b"".join([chunk async for chunk in chunks(request, limits, claim)])


_CLOSE = {"Connection": "close"}  # what is left of the body would be taken for the next request


def _announced(request: Request) -> int | None:
    """The Content-Length, if there is one. Raises Problem for one that is no number."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise Problem("request", "the Content-Length is no number", _CLOSE)
    return int(text)


def _too_large(limits: Limits) -> Problem:
    return Problem("too-large", f"a request may have {limits.body_bytes:,} bytes", _CLOSE)


__all__ = ["Claim", "ClientDisconnect", "Held", "chunks", "whole"]
