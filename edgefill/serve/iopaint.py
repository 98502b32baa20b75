"""``POST /api/v1/inpaint`` as clients of IOPaint send it: JSON with two base64 pictures in, a PNG out.

Of its many options only the seed means something here; the others are let be.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgefill.jobs.request import Request as Completion
from edgefill.pictures.images import open_picture
from edgefill.serve.asking import Asked, Urgency, urgency_of
from edgefill.serve.bodies import whole
from edgefill.serve.completing import answer_of
from edgefill.serve.problems import Problem
from edgefill.serve.service import Service

_MOST_SEED = 2**63 - 1


async def inpaint(request: Request, service: Service) -> Response:
    """The completed picture, with the seed in the header X-Seed."""
    with service.held.claim() as claim:
        body = await whole(request, service.limits, claim)
        served, urgency = service.models.first, urgency_of({}, service.limits)
        service.check_room(served, urgency)
        asked = await service.aside(_read, body, service, urgency)
        claim.take(asked.bytes)
        encoded, timing = await answer_of(served, asked, request, service)
    headers = {"X-Seed": str(asked.request.seed), "Server-Timing": timing}
    return Response(encoded.picture, headers=headers, media_type=encoded.media_type)


def _read(body: bytes, service: Service, urgency: Urgency) -> Asked:
    """What the client asks for. Raises Problem and InputError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("request", "the request is no JSON") from error
    if not isinstance(document, dict):
        raise Problem("request", "the request is no JSON object")
    pixels = service.limits.pixels
    picture, mask = (
        open_picture(_content(document, name), f"the {name}", max_pixels=pixels) for name in ("image", "mask")
    )
    request = Completion(mask, _seed(document))
    _ = request.mask_spec  # decoded here, beside the loop
    return Asked(picture, request, urgency, "png")


def _content(document: dict[str, Any], name: str) -> bytes:
    """The file in the member ``name``: base64, alone or as a data URL."""
    text = document.get(name)
    if not isinstance(text, str) or not text:
        raise Problem("request", f"expected {name!r}, a picture as base64")
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem("request", f"{name!r} is no base64") from error


def _seed(document: dict[str, Any]) -> int:
    seed = document.get("sd_seed", 0)
    is_number = isinstance(seed, int) and not isinstance(seed, bool)
    return seed if is_number and 0 <= seed <= _MOST_SEED else 0
