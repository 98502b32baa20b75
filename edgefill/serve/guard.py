"""Who may ask: by which host's name, from which page, with which token, and how many at once."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edgefill.serve.problems import Problem
from edgefill.serve.service import Service

# What may be seen without the token: the page, which asks for it, and what load balancers look at.
OPEN = frozenset(
    {"/", "/page.js", "/page.css", "/docs", "/openapi.json", "/favicon.svg", "/healthz", "/readyz",
     "/v2/health/live", "/v2/health/ready"}
)  # fmt: skip
_READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Lets through to ``app`` what may pass. Raises Problem for the rest."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._names = frozenset({"localhost", *own_names(), *map(str.lower, service.hosts)})
        self._going = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        if scope["method"] not in _READING:
            _check_origin(headers)
        if self._service.token and scope["path"] not in OPEN:
            self._check_token(headers)
        if self._going >= self._service.limits.connections and scope["path"] not in OPEN:
            self._service.metrics.rejected("connections")
            raise Problem("busy", "the server answers as many as it may", {"Retry-After": "1"})
        self._going += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._going -= 1

    def _check_host(self, headers: Headers) -> None:
        """Another site's name that was made to lead here would let its pages ask (DNS rebinding)."""
        host = _host(f"//{headers.get('host', '')}")
        if not (_is_address(host) or host in self._names):
            raise Problem("host", f"this server is not {host[:80]!r}")

    def _check_token(self, headers: Headers) -> None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        matches = hmac.compare_digest(token.strip().encode(), self._service.token.encode())
        if kind.lower() != "bearer" or not matches:
            raise Problem("token", "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})


def own_names() -> list[str]:
    """The names by which this machine is called in its network."""
    name = socket.gethostname().lower()
    return [name, f"{name.partition('.')[0]}.local"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can ask a server at ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _check_origin(headers: Headers) -> None:
    """Browsers say from which site's page a request comes; of others none may change anything here."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem("origin", "the request comes from a page of another site")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise Problem("origin", "the request comes from a page of another site")


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
