"""What may be filled as it lies in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.errors import InputError
from edgefill.model.manifest import Manifest


def check_arrays(pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int], model: Manifest) -> None:
    """Raises InputError where these are not what ``Completer.fill`` takes."""
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
