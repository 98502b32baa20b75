"""What may be filled as it lies in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.errors import InputError
from edgefill.methods import SMOOTH
from edgefill.model.manifest import Manifest


def check_arrays(pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int], model: Manifest) -> None:
    """Raises InputError where these are not what ``Completer.fill`` takes."""
    expected: tuple[int | str, ...]
    if model.method == SMOOTH:  # which takes any size, grey or in colour
        sides = pictures.shape[1:3] if pictures.ndim == 4 else ("H", "W")
        expected = (len(pictures), *sides, pictures.shape[-1] if pictures.shape[-1] in (1, 3) else 3)
    else:
        expected = (len(pictures), model.height, model.width, model.channels)
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
