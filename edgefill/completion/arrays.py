"""What may be filled as it lies in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.errors import InputError
from edgefill.methods import SMOOTH
from edgefill.model.manifest import Manifest


def check_arrays(pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int], model: Manifest) -> None:
    """Raises InputError where these are not what ``Completer.fill`` takes."""
    if model.method == SMOOTH:
        takes = "[N, H, W, 1 or 3]"
        fits = pictures.ndim == 4 and pictures.shape[3] in (1, 3)
    else:
        size = (model.height, model.width, model.channels)
        takes = f"[N, {', '.join(map(str, size))}]"
        fits = pictures.shape[1:] == size
    if not (len(pictures) and fits and pictures.dtype == np.uint8):
        raise InputError(
            f"cannot fill pictures of {pictures.dtype} {list(pictures.shape)}: the model {model.name} takes "
            f"uint8 {takes}; scale them, or use complete()"
        )
    if known.shape != pictures.shape[:3] or known.dtype != np.bool_:
        raise InputError(
            f"cannot fill by a mask of {known.dtype} {list(known.shape)}: expected bool "
            f"{list(pictures.shape[:3])}, true where a pixel is kept"
        )
    if len(seeds) != len(pictures):
        raise InputError(f"got {len(seeds)} seeds for {len(pictures)} pictures: expected one for each")
