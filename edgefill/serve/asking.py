"""What a client asks for, as the parts of a form, turned into a job."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from edgefill.errors import InputError
from edgefill.faces.eyes import read_eyes
from edgefill.holes.boxes import Box
from edgefill.jobs.request import Request
from edgefill.kernels.solvers import SOLVERS
from edgefill.methods.latent.settings import SearchSettings, search_settings
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import ENCODABLE, open_picture
from edgefill.pictures.masks import MASKS, MaskSpec, parse_mask
from edgefill.serve.forms import Form
from edgefill.serve.limits import MOST_STARTS, Limits

_MOST_FRAMES = 64
_MOST_SEED = 2**63 - 1

# Of the time that is left, for the way of the answer, and seconds of it at most: with four times the requests
# that a server can take, the slowest answers came 0.05 to 0.08 s behind the end of their jobs.
_WAY, _LONGEST_WAY = 0.05, 0.1


@dataclass(frozen=True)
class Urgency:
    """Until when an answer is wanted, and before which others."""

    ends_at: float  # of time.perf_counter
    priority: int

    @property
    def left(self) -> float:
        """Seconds for the job, somewhat less than until its answer is wanted; next to none if too late."""
        left = self.ends_at - time.perf_counter()
        return max(left - min(_LONGEST_WAY, _WAY * left), 1e-3)


@dataclass(frozen=True)
class Asked:
    """A picture, what is asked of it, and how the answer is to look."""

    picture: Image.Image  # opened, not decoded yet
    request: Request
    urgency: Urgency
    format: str

    @property
    def bytes(self) -> int:
        """What its mask holds in memory; its picture is not decoded yet."""
        mask = self.request.mask_spec.picture
        return 0 if mask is None else mask.values.nbytes


def model_asked_for(form: Form) -> str | None:
    """The name of the model, or None for the first."""
    return form.fields.get("model") or None


def urgency_of(fields: Mapping[str, str], limits: Limits) -> Urgency:
    """How urgent a form with these ``fields`` is, whose time begins now. Raises InputError."""
    options = _options({name: fields[name] for name in ("seconds", "priority") if name in fields})
    seconds = min(options.get("seconds", limits.seconds), limits.seconds)
    return Urgency(time.perf_counter() + seconds, options.get("priority", 0))


def read_asked(form: Form, model: Manifest, limits: Limits, urgency: Urgency) -> Asked:
    """What ``form`` asks of ``model``. Raises InputError for what cannot be asked."""
    options = _options(form.fields)
    if "picture" not in form.files:
        raise InputError("there is no picture: expected the file part 'picture'")
    picture = open_picture(form.files["picture"], "the picture", max_pixels=limits.pixels)
    request = Request(
        _mask(form, limits),
        options.get("seed", 0),
        options.get("box"),
        _settings(options, model),
        options.get("blend", "poisson"),
        resize_mask=options.get("resize_mask", False),
        frames=options.get("frames", 0),
        candidates=options.get("candidates", 1),
        confidence=options.get("confidence", False),
        align=options.get("align", False),
        eyes=options.get("eyes", ()),
    )
    _ = request.mask_spec  # decoded here, beside the loop
    return Asked(picture, request, urgency, options.get("format", "png"))


def _mask(form: Form, limits: Limits) -> Image.Image | MaskSpec:
    """The mask as a picture (white = fill), or one of those that are drawn. Files of the server are none."""
    if "mask" in form.files:
        return open_picture(form.files["mask"], "the mask", max_pixels=limits.pixels)
    text = form.fields.get("mask", "")
    if text.partition(":")[0] in MASKS or text == "alpha":
        return parse_mask(text)
    raise InputError(
        f"there is no mask {text[:40]!r}: expected the file part 'mask' (white = fill), or the field with "
        f"one of {', '.join(MASKS)}, alpha"
    )


def _settings(options: Mapping[str, Any], model: Manifest) -> SearchSettings | None:
    """The settings of a search where any are asked for; a model of one pass refuses them later."""
    asked = {name: options[name] for name in _OF_THE_SEARCH if name in options}
    if not asked:
        return None
    settings = search_settings(encoder=model.has_encoder, **asked)
    if settings.starts > MOST_STARTS:
        raise InputError(f"cannot start from the best of {settings.starts}: expected {MOST_STARTS} at most")
    return settings


def _options(fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields as values. Raises InputError for one that is unknown, or no value of its kind."""
    values = {}
    for name, text in fields.items():
        if name in ("model", "mask") or not text:
            continue
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"there is no option {name[:40]!r}: {guess}expected {', '.join(FIELDS)}")
        values[name] = FIELDS[name].read(name, text)
    return values


@dataclass(frozen=True)
class Field:
    """An option of a request: how its text is read, and what it is, for people and for OpenAPI."""

    read: Callable[[str, str], Any]
    schema: Mapping[str, Any]
    what: str


def _whole(low: int, high: int, what: str) -> Field:
    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
            raise InputError(f"{name} is {text[:40]!r}; expected a whole number from {low} to {high}")
        return int(text)

    return Field(read, {"type": "integer", "minimum": low, "maximum": high}, what)


def _number(what: str, *, above: float = -math.inf) -> Field:
    def read(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > above):
            raise InputError(f"{name} is {text[:40]!r}; expected a number{' above 0' * (above == 0)}")
        return value

    return Field(read, {"type": "number"}, what)


def _word(what: str, *choices: str) -> Field:
    def read(name: str, text: str) -> str:
        if choices and text not in choices:
            raise InputError(f"{name} is {text[:40]!r}; expected one of {', '.join(choices)}")
        return text

    return Field(read, {"type": "string", **({"enum": list(choices)} if choices else {})}, what)


def _flag(what: str) -> Field:
    def read(name: str, text: str) -> bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise InputError(f"{name} is {text[:40]!r}; expected true or false")
        return text.lower() in ("true", "1")

    return Field(read, {"type": "boolean"}, what)


_OF_THE_SEARCH = {
    "preset": _word("Settings of the search.", "default", "reference", "article"),
    "solver": _word("Of the search.", *SOLVERS),
    "start": _word("Of the search: encoder, random or best-of:N."),
    "until": _word("When the search ends: converged, loss:X, ms:T or a number of steps."),
    "steps": _whole(1, 100_000, "Evaluations of loss and gradient."),
    "lr": _number("Learning rate of the search.", above=0),
    "lam": _number("Weight of the perceptual loss."),
    "pull": _number("Weight of z's distance from what is expected."),
    "features": _flag("Move what G's first layer makes of z too; true where that can be."),
    "power": _whole(1, 2, "1 sums absolute differences, 2 squared ones."),
    "importance": _whole(0, 63, "Weigh known pixels by what is missing in this odd window; 0: alike."),
}  # fmt: skip

FIELDS = {
    "seed": _whole(0, _MOST_SEED, "Of a drawn mask and of the search; the same seed, the same picture."),
    "box": Field(
        lambda _, text: Box.parse(text), {"type": "string"}, "Complete only this part: x,y,w,h in pixels."
    ),
    "align": _flag("Find the faces and complete each as it stands in the model's pictures."),
    "eyes": Field(lambda _, text: read_eyes(text), {"type": "string"}, "Align the face with these: x,y,x,y."),
    "blend": _word("How the hole joins the picture.", "poisson", "none"),
    "resize_mask": _flag("Scale a mask of another size to the picture's."),
    "candidates": _whole(1, 16, "Different completions; of models that search."),
    "confidence": _flag("Also a map that is white where the search is sure; of models that search."),
    "frames": _whole(0, _MOST_FRAMES, "Frames of the search among a job's events."),
    "seconds": _number("After this time the best so far is the answer.", above=0),
    "priority": _whole(0, 9, "Jobs of a higher one go first."),
    "format": _word("Of the answer.", *ENCODABLE),
    **_OF_THE_SEARCH,
}  # fmt: skip
