"""Pictures that lie in memory at the size of the model, as the search fits them."""

from __future__ import annotations

import numpy as np

from edgefill.methods.latent.search import Task
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import planes


def pixel_evidence(pictures: np.ndarray, known: np.ndarray, model: Manifest) -> Evidence:
    """What ``pictures``, uint8 [N, H, W, C], say where ``known [N, H, W]``."""
    height, width = (side // model.searched.block for side in (model.height, model.width))
    blocks = np.zeros((len(pictures), 1, height, width), np.float32)
    return Evidence(planes(pictures), known[:, None].astype(np.float32), blocks)


def pixel_task(pictures: np.ndarray, known: np.ndarray, model: Manifest, settings: SearchSettings) -> Task:
    """What a search from a random start fits in ``pictures`` where ``known``."""
    anchor = np.zeros((len(pictures), model.z_dim), np.float32)
    return Task.of(pixel_evidence(pictures, known, model), settings, anchor)
