"""Pictures in other sizes and numbers of channels; what is missing has no part in what is known."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edgefill.holes.boxes import Part
from edgefill.pictures.images import luminance, to_unit

_ROWS_AT_ONCE = 256


def scale(
    values: np.ndarray,
    size: tuple[int, int],
    filter: Image.Resampling | None = None,
    part: Part = (slice(None), slice(None)),
) -> np.ndarray:
    """``values [h, w, C]`` resampled to ``size`` (height, width), float32; bicubic unless told otherwise.

    Of that only ``part`` comes back.
    """
    if values.shape[:2] == size:
        return np.asarray(values[part], np.float32)
    method = Image.Resampling.BICUBIC if filter is None else filter
    sides = (len(range(*run.indices(side))) for run, side in zip(part, size, strict=True))
    scaled = np.empty((*sides, values.shape[2]), np.float32)
    for channel in range(values.shape[2]):  # one after another: of a large picture each is much
        plane = Image.fromarray(np.ascontiguousarray(values[:, :, channel], np.float32))
        scaled[:, :, channel] = np.asarray(plane.resize(size[::-1], method))[part]
    return scaled


def scale_known(
    values: np.ndarray, known: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the known pixels under each pixel of ``size``, [H, W, C], and their share, [H, W].

    ``values`` are in [-1, 1], or those of a picture. Missing pixels have no part in the means, whatever they
    hold; where nothing is known the mean is 0.
    """
    grows = known.shape[0] < size[0] or known.shape[1] < size[1]
    method = Image.Resampling.BILINEAR if grows else Image.Resampling.BOX
    share = scale(known[:, :, None].astype(np.float32), size, method)
    share[share < 1e-4] = 0  # dust of rounding: nothing can be divided by it
    total = np.concatenate(  # channel by channel: of a large picture all at once are gigabytes
        [
            scale(np.where(known, _unit(values[:, :, channel]), np.float32(0))[:, :, None], size, method)
            for channel in range(values.shape[2])
        ],
        axis=2,
    )
    means = np.divide(total, share, out=np.zeros_like(total), where=share > 0)
    return np.clip(means, -1, 1), np.minimum(share[:, :, 0], 1)


def _unit(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "f" else to_unit(values)


def unit_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """A picture's ``values [h, w, 1 or 3]`` as float32 in [-1, 1] and in the model's number of channels."""
    unit = np.empty((*values.shape[:2], channels), np.float32)
    for top in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        unit[rows] = as_channels(to_unit(values[rows]), channels)
    return unit


def as_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """``values [h, w, 1 or 3]`` in [-1, 1] as the model's number of channels."""
    if values.shape[2] == channels:
        return values
    return luminance(values) if channels == 1 else np.repeat(values, 3, axis=2)
