"""The short way for pictures in memory at the size of the model: arrays in and out, nothing blended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.errors import InputError
from edgefill.methods.feed_forward import draw
from edgefill.methods.latent.drawing import drawn
from edgefill.methods.latent.search import FAILED, Task, search_failed
from edgefill.methods.latent.settings import SearchSettings
from edgefill.methods.latent.start import begin
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import from_unit, to_unit
from edgefill.runtimes import Runtime


def fill(
    pictures: np.ndarray,
    known: np.ndarray,
    model: Manifest,
    runtime: Runtime,
    *,
    seeds: Sequence[int],
    settings: SearchSettings,
) -> np.ndarray:
    """Completed pictures, uint8 [N, H, W, C]; see ``Completer.fill``."""
    _check(pictures, known, seeds, model)
    state = begin(pixel_evidence(pictures, known, model), settings, seeds, model, runtime)
    runtime.solve(state, settings.steps)
    for row in np.flatnonzero(state.status == FAILED):
        raise search_failed(f"picture {row}", int(state.steps[row]))
    drawn(state.best_z, model, runtime)  # the generator may fail where the step did not, and composes bytes
    return runtime.compose(state.best_z, state.task.target, known)


def fill_in_one_pass(
    pictures: np.ndarray, known: np.ndarray, model: Manifest, runtime: Runtime, *, seeds: Sequence[int]
) -> np.ndarray:
    """Completed pictures, uint8 [N, H, W, C], by a network of one pass; see ``Completer.fill``."""
    _check(pictures, known, seeds, model)
    completed = draw(runtime, model, planes(pictures), known[:, None].astype(np.float32))
    return np.where(known[:, :, :, None], pictures, from_unit(completed.transpose(0, 2, 3, 1)))


def pixel_evidence(pictures: np.ndarray, known: np.ndarray, model: Manifest) -> Evidence:
    """What ``pictures``, uint8 [N, H, W, C], say where ``known [N, H, W]``."""
    height, width = (side // model.searched.block for side in (model.height, model.width))
    blocks = np.zeros((len(pictures), 1, height, width), np.float32)
    return Evidence(planes(pictures), known[:, None].astype(np.float32), blocks)


def planes(pictures: np.ndarray) -> np.ndarray:
    """uint8 ``pictures [N, H, W, C]`` as float [N, C, H, W] in [-1, 1]."""
    return np.ascontiguousarray(to_unit(pictures).transpose(0, 3, 1, 2))


def pixel_task(pictures: np.ndarray, known: np.ndarray, model: Manifest, settings: SearchSettings) -> Task:
    """What a search from a random start fits in ``pictures`` where ``known``."""
    anchor = np.zeros((len(pictures), model.z_dim), np.float32)
    return Task.of(pixel_evidence(pictures, known, model), settings, anchor)


def _check(pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int], model: Manifest) -> None:
    frame = (model.height, model.width)
    expected = (len(pictures), *frame, model.channels)
    if not len(pictures) or pictures.shape != expected or pictures.dtype != np.uint8:
        raise InputError(
            f"cannot fill pictures of {pictures.dtype} {list(pictures.shape)}: the model {model.name} takes "
            f"uint8 [N, {', '.join(map(str, expected[1:]))}]; scale them, or use complete()"
        )
    if known.shape != expected[:3] or known.dtype != np.bool_:
        raise InputError(
            f"cannot fill by a mask of {known.dtype} {list(known.shape)}: expected bool "
            f"{list(expected[:3])}, true where a pixel is kept"
        )
    if len(seeds) != len(pictures):
        raise InputError(f"got {len(seeds)} seeds for {len(pictures)} pictures: expected one for each")
