"""The application: every route, behind the guard, in the envelope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from edgefill.serve import about, completing, iopaint, pages, watching
from edgefill.serve.envelope import Envelope
from edgefill.serve.guard import Guard
from edgefill.serve.service import Service

Answer = Callable[[Request, Service], Awaitable[Response]]

ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("POST", "/v1/complete", completing.complete),
    ("POST", "/v1/jobs", watching.submit),
    ("GET", "/v1/jobs/{id}", watching.status),
    ("DELETE", "/v1/jobs/{id}", watching.cancel),
    ("GET", "/v1/jobs/{id}/events", watching.events),
    ("GET", "/v1/jobs/{id}/result", watching.result),
    ("GET", "/v1/jobs/{id}/confidence", watching.confidence),
    ("GET", "/v1/models", about.models),
    ("POST", "/api/v1/inpaint", iopaint.inpaint),
    ("GET", "/v2", about.server),
    ("GET", "/v2/health/live", about.alive),
    ("GET", "/v2/health/ready", about.ready),
    ("GET", "/v2/models/{model}", about.model),
    ("GET", "/v2/models/{model}/ready", about.model_ready),
    ("GET", "/healthz", about.alive),
    ("GET", "/readyz", about.ready),
    ("GET", "/metrics", about.figures),
    ("GET", "/openapi.json", pages.openapi),
    ("GET", "/docs", pages.docs),
    ("GET", "/", pages.page),
    ("GET", "/page.js", pages.script),
    ("GET", "/page.css", pages.style),
    ("GET", "/favicon.svg", pages.icon),
)


def create_app(service: Service) -> ASGIApp:
    """The ASGI application of ``service``, which it closes when the server ends."""

    @asynccontextmanager
    async def lifespan(_: ASGIApp) -> AsyncIterator[None]:
        yield
        service.draining = True
        await asyncio.to_thread(service.close)

    routes = [
        Route(path, _endpoint(answer, path, service), methods=[method]) for method, path, answer in ROUTES
    ]
    router = Router(routes, redirect_slashes=False, lifespan=lifespan)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = routed  # with it the router raises what it cannot find, and writes no text of its own
        await router(scope, receive, send)

    guarded = Guard(routed, service)

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        await (guarded if scope["type"] == "http" else router)(scope, receive, send)

    return Envelope(split, service)


def _endpoint(answer: Answer, path: str, service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        request.scope["route_name"] = path
        return await answer(request, service)

    return endpoint
