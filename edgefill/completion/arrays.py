"""The short way for pictures in memory at the size of the model: arrays in and out, nothing blended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.bundle import Manifest
from edgefill.completion.backends import Backend
from edgefill.completion.latents import Prior
from edgefill.completion.photograph import importance_weight
from edgefill.completion.search import FAILED, SearchState, Task, search_failed
from edgefill.completion.settings import SearchSettings
from edgefill.errors import InputError
from edgefill.images import to_unit


def fill(
    pictures: np.ndarray,
    known: np.ndarray,
    model: Manifest,
    backend: Backend,
    *,
    seeds: Sequence[int],
    settings: SearchSettings,
) -> np.ndarray:
    """Completed pictures, uint8 [N, H, W, C]; see ``Completer.fill``."""
    _check(pictures, known, seeds, model)
    state = SearchState.start(pixel_task(pictures, known, model, settings), settings, seeds, Prior.of(model))
    backend.solve(state, settings.steps)
    for row in np.flatnonzero(state.status == FAILED):
        raise search_failed(f"picture {row}", int(state.steps[row]))
    return backend.compose(state.best_z, state.task.target, known)


def pixel_task(pictures: np.ndarray, known: np.ndarray, model: Manifest, settings: SearchSettings) -> Task:
    """What the search fits in ``pictures``, uint8 [N, H, W, C], where ``known [N, H, W]``."""
    weight = known.astype(np.float32)
    if settings.importance:
        weight = np.stack([importance_weight(each, settings.importance) for each in weight])
    height, width = model.height // model.block, model.width // model.block
    blocks = np.zeros((len(pictures), 1, height, width), np.float32)
    target = np.ascontiguousarray(to_unit(pictures).transpose(0, 3, 1, 2))
    anchor = np.zeros((len(pictures), model.z_dim), np.float32)
    return Task.of(target, weight[:, None], blocks, settings, anchor)


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
