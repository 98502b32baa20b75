"""Ways to fill the hole of a photograph. Each gets it with the hole painted over, so that nobody can peek."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime
from skimage.restoration import inpaint_biharmonic

from benchmarks.turns import cores
from edgefill.completion import Completer, Failure, Request, Result, load
from edgefill.holes.blending import harmonic_fill
from edgefill.pictures.images import from_unit, to_unit

WHITE, BLACK = 255, 0
_RADIUS = 3  # pixels around each that OpenCV's methods look at, as in its own examples

# (photograph uint8 [H, W, 3], hole bool [H, W]) → the photograph completed.
Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Filler(NamedTuple):
    """A way to fill holes, and the grey that stands in the hole of what it is given."""

    fill: Fill
    paint: int = WHITE


def painted(picture: np.ndarray, hole: np.ndarray, paint: int) -> np.ndarray:
    """``picture [H, W, 3]`` with ``paint`` wherever ``hole [H, W]`` is."""
    return np.where(hole[:, :, None], np.uint8(paint), picture)


def fillers(
    models: Sequence[str], backends: Sequence[str], pipeline: Path
) -> dict[str, Callable[[], Filler]]:
    """All of them by name, to be opened: edgefill with each of ``models`` on each of ``backends``, the
    ``pipeline``, and the rest."""
    own = {
        contender(model, backend): partial(_edgefill, model, backend)
        for model, backend in itertools.product(models, backends)
    }
    return own | {
        "pipeline-white": lambda: Filler(_with_pipeline(pipeline), WHITE),
        "pipeline-black": lambda: Filler(_with_pipeline(pipeline), BLACK),
        "telea": lambda: Filler(_with_opencv(cv2.INPAINT_TELEA)),
        "navier-stokes": lambda: Filler(_with_opencv(cv2.INPAINT_NS)),
        "biharmonic": lambda: Filler(_biharmonic),
        "harmonic": lambda: Filler(_harmonic),
    }


def contender(model: str, backend: str) -> str:
    """The name of edgefill with ``model`` on ``backend``."""
    return f"{Path(model).stem}-{backend}"


def completed_together(
    completer: Completer, pictures: Sequence[np.ndarray], holes: Sequence[np.ndarray], batch: int
) -> list[np.ndarray]:
    """``pictures [H, W, 3]`` completed by edgefill in batches; their holes reach it as transparency."""
    cut = [
        np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])
        for picture, hole in zip(pictures, holes, strict=True)
    ]
    return [_values(outcome) for outcome in completer.complete_many(cut, Request("alpha"), batch=batch)]


def _values(outcome: Result | Failure) -> np.ndarray:
    if isinstance(outcome, Failure):
        raise outcome.error
    return outcome.picture.values


def _edgefill(model: str, backend: str) -> Filler:
    completer = load(model, backend)
    return Filler(lambda picture, hole: completed_together(completer, [picture], [hole], 1)[0])


@lru_cache(maxsize=1)  # one session, whatever is painted
def _with_pipeline(path: Path) -> Fill:
    """MI-GAN as its authors packaged it, in plain ONNX Runtime on as many threads as everybody has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def fill(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
        feeds = {
            "image": np.ascontiguousarray(picture.transpose(2, 0, 1)[None]),
            "mask": np.where(hole, 0, 255).astype(np.uint8)[None, None],
        }
        (result,) = session.run(["result"], feeds)
        return result[0].transpose(1, 2, 0)

    return fill


def _with_opencv(method: int) -> Fill:
    return lambda picture, hole: cv2.inpaint(picture, hole.astype(np.uint8), _RADIUS, method)


def _biharmonic(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.rint(255 * inpaint_biharmonic(picture, hole, channel_axis=-1)).astype(np.uint8)


def _harmonic(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return from_unit(harmonic_fill(to_unit(picture), ~hole))
