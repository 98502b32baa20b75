"""What every answer has: the request's id, safe headers, a line in the log, a place in the figures.

Whatever is raised inside becomes a problem document here.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefill.serve.log import log, log_error
from edgefill.serve.problems import Problem, problem_of
from edgefill.serve.service import Service

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_SWALLOWED, _SWALLOWING = 1 << 20, 0.5  # bytes and seconds, of a body that nobody wants
_GONE = 499  # nobody is told: the client has closed its connection
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Envelope:
    """``app`` with all that; what is no HTTP passes through."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, receive, send, self._service).run(self._app)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service) -> None:
        self._scope, self._receive, self._send, self._service = scope, receive, send, service
        self._is_received = False
        self._started = time.perf_counter()
        self._status = 0
        self._bytes = 0
        asked = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = self._id = asked if _ID.match(asked) else uuid.uuid4().hex

    async def run(self, app: ASGIApp) -> None:
        problem = None
        try:
            await app(self._scope, self._received, self._answer)
        except ClientDisconnect:
            self._status = self._status or _GONE
        except Exception as error:
            problem = problem_of(error)
            if problem.kind == "failed" or (not isinstance(error, Problem) and problem.status >= 500):
                log_error(error, request=self._id)
            if self._status:
                raise  # the answer has begun: all that is left is to close the connection
            if problem.kind != "slow":
                await self._swallow()
            await problem.response(self._id)(self._scope, self._received, self._answer)
        finally:
            self._note(problem)

    async def _received(self) -> Message:
        message = await self._receive()
        self._is_received = not message.get("more_body", False)
        return message

    async def _swallow(self) -> None:
        """Takes the rest of a small body: where a connection is closed before, the answer may be lost."""
        headers = Headers(scope=self._scope)
        announced = headers.get("content-length", "0")
        if "expect" in headers or not announced.isdecimal() or int(announced) > _SWALLOWED:
            return  # it has not been sent yet, or is none
        count, until = 0, time.monotonic() + _SWALLOWING
        while not self._is_received and count < _SWALLOWED and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._received(), left)
            except asyncio.TimeoutError:
                return
            count += len(message.get("body", b""))

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._id
        self._bytes += len(message.get("body", b""))
        await self._send(message)

    def _note(self, problem: Problem | None) -> None:
        seconds = time.perf_counter() - self._started
        route = self._scope.get("route_name", "none")
        self._service.metrics.answered(route, self._status, seconds)
        client = self._scope.get("client")
        log(
            "request",
            id=self._id,
            client=client[0] if client else None,
            method=self._scope["method"],
            path=self._scope["path"][:200],
            status=self._status,
            seconds=seconds,
            bytes=self._bytes,
            problem=f"{problem.kind}: {problem.detail}" if problem else None,
        )
