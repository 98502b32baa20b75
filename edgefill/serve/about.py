"""What a server says of itself: models, health (its own way and KServe's), figures."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgefill import __version__
from edgefill.serve.metrics import MEDIA_TYPE
from edgefill.serve.models import Served
from edgefill.serve.problems import Problem
from edgefill.serve.service import Service


async def models(request: Request, service: Service) -> Response:
    """The models, the first of which is taken where none is named, and the limits."""
    limits = service.limits
    said = {"bytes": limits.body_bytes, "pixels": limits.pixels, "seconds": limits.seconds}
    return JSONResponse({"models": [_describe(served) for served in service.models], "limits": said})


async def alive(request: Request, service: Service) -> Response:
    """200 as long as the server can answer at all."""
    return JSONResponse({"live": True})


async def ready(request: Request, service: Service) -> Response:
    """200 where every model works and new jobs are taken, else 503."""
    if not service.ready:
        reason = "is about to end" if service.draining else "has a model that does not work"
        raise Problem("unavailable", f"the server {reason}", {"Retry-After": "5"})
    return JSONResponse({"ready": True})


async def server(request: Request, service: Service) -> Response:
    """The server's metadata as KServe's protocol has it."""
    return JSONResponse({"name": "edgefill", "version": __version__, "extensions": []})


async def model(request: Request, service: Service) -> Response:
    """A model's metadata as KServe's protocol has it."""
    served = service.models.find(request.path_params["model"])
    channels = served.model.channels
    return JSONResponse(
        {
            "name": served.name,
            "versions": ["1"],
            "platform": "edgefill",
            "inputs": [_tensor("picture", channels), _tensor("mask", 1)],
            "outputs": [_tensor("completed", channels)],
        }
    )


async def model_ready(request: Request, service: Service) -> Response:
    """200 where the model works, else 503."""
    served = service.models.find(request.path_params["model"])
    if service.draining or not served.works:
        raise Problem("unavailable", f"{served.name} takes no jobs now", {"Retry-After": "5"})
    return JSONResponse({"name": served.name, "ready": True})


async def figures(request: Request, service: Service) -> Response:
    """What the server counted."""
    return Response(service.metrics.text(), media_type=MEDIA_TYPE)


def _describe(served: Served) -> dict[str, Any]:
    model = served.model
    return {
        "name": served.name,
        "searches": served.searches,
        "method": model.method,
        "family": model.family,
        "width": model.width,
        "height": model.height,
        "channels": model.channels,
        "encoder": model.has_encoder,
        "licence": model.licence,
        "origin": model.origin,
        "ready": served.works,
    }


def _tensor(name: str, channels: int) -> dict[str, Any]:
    return {"name": name, "datatype": "UINT8", "shape": [-1, -1, channels]}
