"""Results as answers: the picture's file, or a document with everything that is known of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from edgefill.jobs.request import Result
from edgefill.pictures.images import Picture, encode_picture

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}


@dataclass(frozen=True)
class Encoded:
    """A Result whose pictures are files."""

    media_type: str
    picture: bytes
    candidates: tuple[bytes, ...]  # the picture itself first; none where one was asked for
    confidence: bytes | None
    about: dict[str, Any]

    @property
    def bytes(self) -> int:
        return len(self.picture) + sum(map(len, self.candidates[1:])) + len(self.confidence or b"")

    def document(self) -> dict[str, Any]:
        """All of it as JSON, pictures as base64."""
        document = {**self.about, "media_type": self.media_type, "picture": _text(self.picture)}
        for described, content in zip(document.get("candidates", ()), self.candidates, strict=True):
            described["picture"] = _text(content)
        if self.confidence is not None:
            document["confidence"] = _text(self.confidence)
        return document

    def headers(self) -> dict[str, str]:
        """What the headers of the picture say of it."""
        about = self.about
        return {f"X-Edgefill-{name.capitalize()}": str(about[name]) for name in ("model", "ended", "steps")}


def encode(result: Result, model: str, format: str) -> Encoded:
    """``result`` of ``model`` with files in ``format``. Raises InputError where that cannot hold them."""
    picture = encode_picture(result.picture, format, quick=True)
    others = [encode_picture(each.picture, format, quick=True) for each in result.candidates[1:]]
    confidence = None
    if result.confidence is not None:
        confidence = encode_picture(Picture(result.confidence[:, :, None]))
    candidates = (picture, *others) if result.candidates else ()
    return Encoded(MEDIA_TYPES[format], picture, candidates, confidence, _about(result, model, candidates))


def _about(result: Result, model: str, candidates: tuple[bytes, ...]) -> dict[str, Any]:
    height, width = result.picture.size
    about: dict[str, Any] = {
        "model": model,
        "width": width,
        "height": height,
        "ended": result.ended,
        "steps": result.steps,
        "seconds": round(result.seconds, 4),
        "notices": list(result.notices),
    }
    if result.z is not None:
        about |= {"loss": result.loss, "contextual": result.contextual, "misfit": result.misfit}
    if candidates:
        about["candidates"] = [{"contextual": each.contextual} for each in result.candidates]
    if result.confidence is not None:
        missing = ~result.photograph.known
        inside = result.photograph.box.cut(result.confidence)[missing]
        about["confidence_mean"] = round(float(inside.mean()) / 255, 4) if inside.size else 1.0
    return about


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
