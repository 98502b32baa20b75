"""``POST /v1/complete``: a picture and a mask in, the completed picture out."""

from __future__ import annotations

import json
import time

from starlette.requests import Request
from starlette.responses import Response

from edgefill.serve.answers import Encoded
from edgefill.serve.asking import Asked, model_asked_for, read_asked, urgency_of
from edgefill.serve.bodies import Claim
from edgefill.serve.forms import read_form
from edgefill.serve.models import Served
from edgefill.serve.service import Service


async def complete(request: Request, service: Service) -> Response:
    """The picture, or with ``Accept: application/json`` everything that is known of it."""
    started = time.perf_counter()
    with service.held.claim() as claim:
        served, asked = await read_request(request, service, claim)
        received = time.perf_counter()
        encoded, timing = await answer_of(served, asked, request, service)
    service.metrics.phase("receive", received - started)
    headers = {"Server-Timing": f"receive;dur={1e3 * (received - started):.1f}, {timing}"}
    if wants_json(request):
        content = json.dumps({"id": request.scope["request_id"], **encoded.document()}, allow_nan=False)
        return Response(content, headers=headers, media_type="application/json")
    return Response(encoded.picture, headers={**encoded.headers(), **headers}, media_type=encoded.media_type)


async def read_request(request: Request, service: Service, claim: Claim) -> tuple[Served, Asked]:
    """The model that the form of ``request`` names, and what it asks of it. Raises Problem, InputError.

    Its time begins when the form is there. Where there is none to be had, its pictures are not looked at.
    """
    form = await read_form(request, service.limits, claim)
    served = service.models.find(model_asked_for(form))
    urgency = urgency_of(form.fields, service.limits)
    service.check_room(served, urgency)
    asked = await service.aside(read_asked, form, served.model, service.limits, urgency)
    claim.take(asked.bytes)
    return served, asked


async def answer_of(served: Served, asked: Asked, request: Request, service: Service) -> tuple[Encoded, str]:
    """The answer to what was asked, and how long its parts took, for the header Server-Timing."""
    started = time.perf_counter()
    encoded = await service.completed(served, asked, request)
    took = time.perf_counter() - started
    service.metrics.phase("complete", took)
    return encoded, f"complete;dur={1e3 * took:.1f}"


def wants_json(request: Request) -> bool:
    """Whether ``request`` asks for the document, not for the picture."""
    return "application/json" in request.headers.get("accept", "")
