"""Errors as answers: problem details (RFC 9457), one kind for each thing that a client can act on.

An error of the request says everything; one of the server says that the log has it under the request's id,
since its message may name files of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response

from edgefill.errors import BackendUnavailable, EdgefillError, InputError

MEDIA_TYPE = "application/problem+json"
_SEE_THE_LOG = "the server's log has the reason under this request's id"


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its status, what it is called, and what a client does about it."""

    status: int
    title: str
    advice: str


KINDS = {
    "request": Kind(400, "The request cannot be understood", "send it as this page says"),
    "token": Kind(401, "A token is needed", "send it as Authorization: Bearer TOKEN"),
    "origin": Kind(403, "Another site may not ask", "ask from the server's own page, or not from a browser"),
    "not-found": Kind(404, "There is no such thing here", "look at GET /v1/models and at this page"),
    "method": Kind(405, "Not with this method", "the header Allow names those that go"),
    "slow": Kind(408, "The request did not arrive in time", "send it again, without pauses"),
    "cancelled": Kind(409, "The job was cancelled", "submit it again"),
    "too-large": Kind(413, "The request is too large", "send a smaller picture"),
    "media": Kind(415, "Not this type of content", "send what this page says"),
    "host": Kind(421, "Not a host of this server", "use its address, or start it with --allow-host NAME"),
    "input": Kind(422, "The picture, mask or setting cannot be used", "change what the detail says"),
    "busy": Kind(429, "Too many wait already", "come again after the seconds of Retry-After"),
    "failed": Kind(500, "The server failed", "tell who runs it the request's id"),
    "unavailable": Kind(503, "Not now", "come again after the seconds of Retry-After"),
}


class Problem(Exception):
    """An answer that is a problem; ``detail`` is for the client and names no file of this machine."""

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.headers = kind, detail, dict(headers or {})

    @property
    def status(self) -> int:
        return KINDS[self.kind].status

    def document(self, request_id: str) -> dict[str, object]:
        """The members of RFC 9457, and the request's id."""
        return {
            "type": f"/docs#{self.kind}",
            "title": KINDS[self.kind].title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }

    def response(self, request_id: str) -> Response:
        content = json.dumps(self.document(request_id), ensure_ascii=False)
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def problem_of(error: BaseException) -> Problem:
    """What a client is told of ``error``."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InputError):
        return Problem("input", str(error))
    if isinstance(error, BackendUnavailable):
        return Problem("unavailable", f"the model cannot run; {_SEE_THE_LOG}", {"Retry-After": "60"})
    if isinstance(error, EdgefillError):
        return Problem("failed", f"the model could not complete the picture; {_SEE_THE_LOG}")
    if isinstance(error, HTTPException):
        return _of_route(error)
    return Problem("failed", f"something that nobody expected; {_SEE_THE_LOG}")


def _of_route(error: HTTPException) -> Problem:
    if error.status_code == KINDS["method"].status:
        return Problem("method", "the path is right, the method is not", error.headers)
    return Problem("not-found", "no route of this server has this path")
