"""The interface as an OpenAPI document: its routes with their options, answers and problems."""

from __future__ import annotations

from typing import Any

from edgefill import __version__
from edgefill.serve.answers import MEDIA_TYPES
from edgefill.serve.asking import FIELDS
from edgefill.serve.problems import KINDS, MEDIA_TYPE
from edgefill.serve.service import Service

_INTRODUCTION = (
    "Completes pictures: whatever is white in the mask is filled, and every other pixel stays as it was. "
    "Errors are problem details (RFC 9457); every answer has the header X-Request-ID."
)


def document(service: Service) -> dict[str, Any]:
    """The document of ``service``."""
    names = [served.name for served in service.models]
    paths = {path: dict(operations) for path, operations in _paths(names).items()}
    security = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if service.token else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgefill", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}, **security},
        **({"security": [{"token": []}]} if service.token else {}),
    }


_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [f"/docs#{kind}" for kind in KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}


def _paths(names: list[str]) -> dict[str, dict[str, Any]]:
    form = _form(names)
    job = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": names}}
    which = {"name": "candidate", "in": "query", "schema": {"type": "integer", "minimum": 1}}
    return {
        "/v1/complete": {
            "post": _operation(
                "Complete a picture. The answer is the picture, or with Accept: application/json a document "
                "with it as base64, its candidates, confidence, steps and seconds.",
                200, (*MEDIA_TYPES.values(), "application/json"), form,
            )
        },
        "/v1/jobs": {"post": _operation("Submit a job and watch it.", 202, ("application/json",), form)},
        "/v1/jobs/{id}": {
            "get": _operation("What is known of a job.", 200, ("application/json",), parameters=[job]),
            "delete": _operation("End a job and forget it.", 204, (), parameters=[job]),
        },
        "/v1/jobs/{id}/events": {
            "get": _operation(
                "Server-sent events: progress {done, steps}, frame {picture, box}, then done or failed. A "
                "job that nobody listens to any more ends.",
                200, ("text/event-stream",), parameters=[job],
            )
        },
        "/v1/jobs/{id}/result": {
            "get": _operation(
                "The completed picture, or another candidate.", 200, tuple(MEDIA_TYPES.values()),
                parameters=[job, which],
            )
        },
        "/v1/jobs/{id}/confidence": {
            "get": _operation("Where the search was sure: white.", 200, ("image/png",), parameters=[job])
        },
        "/v1/models": {"get": _operation("The models and the limits.", 200, ("application/json",))},
        "/api/v1/inpaint": {
            "post": _operation("As IOPaint's clients ask.", 200, ("image/png",), _INPAINT)
        },
        "/v2": {"get": _operation("KServe: the server's metadata.", 200, ("application/json",))},
        "/v2/health/live": {"get": _operation("KServe: it answers.", 200, ("application/json",))},
        "/v2/health/ready": {"get": _operation("KServe: it completes.", 200, ("application/json",))},
        "/v2/models/{model}": {
            "get": _operation("KServe: a model's metadata.", 200, ("application/json",), parameters=[model])
        },
        "/v2/models/{model}/ready": {
            "get": _operation("KServe: the model works.", 200, ("application/json",), parameters=[model])
        },
        "/healthz": {"get": _operation("It answers.", 200, ("application/json",))},
        "/readyz": {"get": _operation("It completes.", 200, ("application/json",))},
        "/metrics": {"get": _operation("Figures for Prometheus.", 200, ("text/plain",))},
        "/openapi.json": {"get": _operation("This document.", 200, ("application/json",))},
        "/docs": {"get": _operation("This document, to read.", 200, ("text/html",))},
        "/": {"get": _operation("The page to paint on.", 200, ("text/html",))},
    }  # fmt: skip


_FILE = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "contentEncoding": "base64", "description": "Or a data URL."}
_INPAINT = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["image", "mask"],
                "properties": {"image": _BASE64, "mask": _BASE64, "sd_seed": {"type": "integer"}},
            }
        }
    },
}


def _form(names: list[str]) -> dict[str, Any]:
    """The multipart form of a completion."""
    mask = {
        **_FILE,
        "description": "White is filled. As a field: a mask that is drawn, such as center, or alpha.",
    }
    properties: dict[str, Any] = {
        "picture": _FILE,
        "mask": mask,
        "model": {"type": "string", "enum": names, "description": "The first if none is named."},
    }
    for name, field in FIELDS.items():
        properties[name] = {**field.schema, "description": field.what}
    schema = {"type": "object", "required": ["picture", "mask"], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _operation(
    summary: str,
    status: int,
    media_types: tuple[str, ...],
    body: dict[str, Any] | None = None,
    *,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": "Done.", "content": {each: {} for each in media_types}},
            "default": {"description": "A problem.", "content": {MEDIA_TYPE: problem}},
        },
    }
    if body:
        operation["requestBody"] = body
    if parameters:
        operation["parameters"] = parameters
    return operation
