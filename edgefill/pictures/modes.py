"""What each Pillow mode is read as. Alpha is kept apart, to be put back when the picture is written.

1, L                     8-bit grey
LA, La                   8-bit grey and alpha
RGB, RGBX, P             8-bit RGB; of 16 bits a channel, which Pillow cannot hold, the upper 8: notice
RGBA, RGBa, PA           8-bit RGB and alpha
1, L, RGB, P with tRNS   as above; the transparent colour or palette entries become alpha
I;16 in any byte order   16-bit grey; a transparent value is ignored: notice
I                        16-bit grey; what does not fit is stretched from its least to its greatest: notice
F                        16-bit grey; black is 0 and white the smallest of 1, 255 and 65535 that is not
                         exceeded, or else stretched: notice
CMYK, YCbCr, LAB, HSV    8-bit RGB as Pillow converts them, without their colour profile: notice
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from edgefill.errors import InputError

GREY = ("1", "L", "LA", "La")
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
WITHOUT_PROFILE = ("CMYK", "YCbCr", "LAB", "HSV")
WHITES = {"I": (65535,), "F": (1, 255, 65535)}


def pixels_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Values ``[H, W, 1 or 3]``, alpha ``[H, W]`` or None, and notices of a loaded picture (table above).

    Raises InputError where values are not finite.
    """
    mode, transparent = image.mode, "transparency" in image.info
    if mode in WHITES:
        values, notice = _to_16_bits(np.asarray(image, np.float64), WHITES[mode])
        return values[:, :, None], None, [notice]
    if mode.startswith("I;16"):
        ignored = "its transparent value is ignored: 16-bit grey is read without alpha"
        return np.asarray(image).astype(np.uint16)[:, :, None], None, [ignored] * transparent
    family = "L" if mode in GREY else "RGB"
    notices = [f"mode {mode} read as RGB"] if mode in WITHOUT_PROFILE else []
    if transparent or mode in WITH_ALPHA:
        bands = np.asarray(image.convert(family + "A"))
        return bands[:, :, :-1], bands[:, :, -1], notices
    return np.atleast_3d(np.asarray(image if image.mode == family else image.convert(family))), None, notices


def _to_16_bits(values: np.ndarray, whites: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """``values`` as uint16, where the first of ``whites`` that none exceeds is 65535, and a notice of it."""
    if not np.isfinite(values).all():
        raise InputError("cannot read a picture of mode F: it has NaN or infinite values; replace them first")
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        scaled = (values - low) / (high - low or 1.0)
        notice = f"32-bit values from {low:g} to {high:g} stretched to 16-bit grey"
    else:
        scaled = values / white
        notice = f"32-bit values read as 16-bit grey, white = {white}"
    return np.rint(scaled * 65535).astype(np.uint16), notice
