"""The page to paint on and the page of the interface, which load nothing from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgefill.serve.documentation import html
from edgefill.serve.openapi import document
from edgefill.serve.service import Service

_FOLDER = Path(__file__).parent / "page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


async def page(request: Request, service: Service) -> Response:
    """The page to paint on."""
    return _file(request, "index.html", "text/html")


async def script(request: Request, service: Service) -> Response:
    """Its script."""
    return _file(request, "page.js", "text/javascript")


async def style(request: Request, service: Service) -> Response:
    """Its style sheet."""
    return _file(request, "page.css", "text/css")


async def icon(request: Request, service: Service) -> Response:
    """Its icon."""
    return _file(request, "favicon.svg", "image/svg+xml")


async def docs(request: Request, service: Service) -> Response:
    """This page: every route, every option, every problem."""
    return _answer(request, html(document(service)).encode(), "text/html")


async def openapi(request: Request, service: Service) -> Response:
    """The interface as an OpenAPI document."""
    return JSONResponse(document(service))


def _file(request: Request, name: str, media_type: str) -> Response:
    return _answer(request, _content(name), media_type)


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _answer(request: Request, content: bytes, media_type: str) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
