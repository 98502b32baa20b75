"""Completion without a network and without a file: as smooth as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from edgefill import __version__
from edgefill.errors import EdgefillError, InputError, ModelError
from edgefill.holes.smooth import smooth_drawing
from edgefill.jobs.photograph import Photograph
from edgefill.methods import SMOOTH
from edgefill.methods.latent.search import SearchState
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Footprint, Runtime, RuntimeInfo, StepTimes

MODEL = Manifest(
    name=SMOOTH,
    family="biharmonic and harmonic filling",
    licence="MIT",
    origin="edgefill",
    edgefill=__version__,
)


def draw_regions(
    photographs: Sequence[Photograph], model: Manifest, runtime: Runtime, blend: str
) -> list[np.ndarray | EdgefillError]:
    """The region of each of ``photographs`` filled where it is missing, [C, h, w] in [-1, 1]."""
    return [smooth_drawing(each.region, each.known).transpose(2, 0, 1) for each in photographs]


def fill(pictures: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Completed ``pictures``, uint8 [N, H, W, C]; see ``Completer.fill``."""
    shape = pictures.shape
    if len(shape) != 4 or not len(pictures) or shape[3] not in (1, 3) or pictures.dtype != np.uint8:
        raise InputError(
            f"cannot fill pictures of {pictures.dtype} {list(shape)}: the model {SMOOTH} takes uint8 "
            "[N, H, W, 1 or 3]"
        )
    if known.shape != shape[:3] or known.dtype != np.bool_:
        raise InputError(
            f"cannot fill by a mask of {known.dtype} {list(known.shape)}: expected bool {list(shape[:3])}, "
            "true where a pixel is kept"
        )
    drawn = np.stack([smooth_drawing(*pair) for pair in zip(pictures, known, strict=True)])
    return np.where(known[:, :, :, None], pictures, from_unit(drawn))


def open_smooth(backend: str) -> NumPy:
    """What the method computes with. Raises InputError for a ``backend``, which it does not need."""
    if backend not in ("auto", "cpu"):
        raise InputError(
            f"the model {SMOOTH} has no network that {backend!r} could run; expected auto or cpu: leave the "
            "backend out"
        )
    return NumPy()


class NumPy:
    """A runtime without graphs: all that it says is what it is."""

    info = RuntimeInfo("cpu", f"NumPy {np.__version__}", "CPU, 1 thread")

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> NoReturn:
        raise ModelError(f"the model {SMOOTH} has no graph {graph!r}; expected a model with a network")

    def solve(self, state: SearchState, n: int) -> NoReturn:
        self.run("step", {})

    def timed(self, state: SearchState, n: int) -> StepTimes:
        self.run("step", {})

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> NoReturn:
        self.run("generator", {})

    def footprint(self) -> Footprint:
        return Footprint()

    def close(self) -> None:
        pass
