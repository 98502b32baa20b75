"""What ``--json`` says of a run of ``edgefill complete``, and of each of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefill import __version__
from edgefill.errors import EdgefillError

if TYPE_CHECKING:
    from edgefill.cli.outputs import Outputs
    from edgefill.completion import Completer, Request, Result


def of_run(completer: Completer | None, request: Request) -> dict[str, Any]:
    """What is needed to make the same pictures again; goes into every PNG.

    Where nothing was to be completed there is no ``completer``, and null in the place of what it is.
    """
    model, info = (completer.model, completer.backend.info) if completer else (None, None)
    spec = request.mask_spec
    return {
        "edgefill": __version__,
        "model": model and model.name,
        "model_sha256": model and model.digest,
        "licence": model and model.licence,
        "backend": info and info.name,
        "runtime": info and info.runtime,
        "precision": info and info.precision,
        "mask": spec.path.name if spec.path else request.mask,
        "seed": request.seed,
        "box": request.box and list(request.box),
        "align": request.aligns,
        "eyes": list(request.eyes),
        "blend": request.blend,
        "candidates": request.candidates,
        "settings": request.settings.document() if request.settings else {},
    }


def of_result(result: Result, outputs: Outputs) -> dict[str, Any]:
    """Of a picture that was completed, and of the files that were made of it."""
    return {
        "input": str(outputs.source),
        "output": str(outputs.picture),
        **{name: str(path) for name, path in outputs.extras.items() if "candidate" not in name},
        **({"eyes": [[round(place, 2) for place in pair] for pair in result.eyes]} if result.eyes else {}),
        "ended": result.ended,
        **({} if result.ended == "pass" else _of_search(result)),
        "seconds": round(result.seconds, 4),
        **_answers(result, outputs),
    }


def _of_search(result: Result) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "loss": result.loss,
        "contextual": result.contextual,
        "perceptual": result.perceptual,
        "prior": result.prior,
        "misfit": result.misfit,
        "foreign": result.is_foreign,
    }


def _answers(result: Result, outputs: Outputs) -> dict[str, Any]:
    """What is said of the candidates and of the confidence in what was filled, if they were asked for."""
    answers: dict[str, Any] = {}
    if result.candidates:
        paths = [outputs.picture, *(path for name, path in outputs.extras.items() if "candidate" in name)]
        answers["candidates"] = [
            {"output": str(path), "contextual": candidate.contextual}
            for path, candidate in zip(paths, result.candidates, strict=False)  # fewer where they look alike
        ]
    if result.confidence is not None:
        missing = ~result.photograph.known
        inside = result.photograph.box.cut(result.confidence)[missing]
        answers["confidence_mean"] = round(float(inside.mean()) / 255, 4) if inside.size else 1.0
    return answers


def of_failure(source: Path, error: EdgefillError) -> dict[str, Any]:
    """Of a file that could not be read, completed or written."""
    kind = type(error).__name__
    return {"input": str(source), "kind": kind, "message": str(error), "exit_code": error.exit_code}
