"""A pass of the network: what it is shown, and what it draws."""

from __future__ import annotations

import numpy as np

from edgefill.errors import InputError, ModelError
from edgefill.faces.portraits import check_alignment
from edgefill.jobs.request import Request
from edgefill.model.interface import Interface
from edgefill.model.manifest import COMPLETION, Manifest
from edgefill.runtimes import Runtime


def check_feed_forward(request: Request, model: Manifest) -> None:
    """Raises InputError where ``request`` asks for what only a search can give."""
    check_alignment(request.aligns, request.given_eyes, model)
    asked = {
        "settings of a search": request.settings is not None,
        "a trace": request.trace,
        "the frames of a search": bool(request.frames),
        "candidates": request.candidates > 1,
        "a confidence": request.confidence,
        "the mask lowres": request.mask_spec.kind == "lowres",
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise InputError(
                f"the model {model.name} completes in one pass, without a search; {what} cannot be asked of "
                "it: leave it out, or use a model that searches, such as faces64"
            )


def shown_by(runtime: Runtime, model: Manifest) -> Interface:
    """The interface of ``model`` on ``runtime``, which may take frames of one size alone."""
    return model.passed.of_one_size() if runtime.one_size else model.passed


def draw(runtime: Runtime, model: Manifest, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What the network of ``model`` draws, [N, C, H, W] in [-1, 1].

    It sees ``picture [N, C, H, W]`` where ``known [N, 1, H, W]`` is 1; H and W are of a size that it takes.
    Raises ModelError where it draws NaN, Inf or another shape.
    """
    interface = model.passed
    outputs = runtime.run(COMPLETION, interface.feeds(picture, known))
    if not np.isfinite(outputs[interface.output.name]).all():
        raise ModelError(
            f"the network of {model.name} drew NaN or Inf; expected finite values. Where it computes in "
            "fp16, complete with --precision fp32, or export or import it again in fp32"
        )
    try:
        drawn: np.ndarray = interface.drawn(outputs)
    except (ValueError, IndexError):  # it cannot even be turned
        drawn = outputs[interface.output.name]
    if drawn.shape != picture.shape:
        raise ModelError(
            f"the network of {model.name} drew {list(drawn.shape)} for pictures of {list(picture.shape)}; "
            "expected the same shape; export or import it again"
        )
    return drawn
