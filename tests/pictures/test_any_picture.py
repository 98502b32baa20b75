"""Whatever the picture and the mask: it is filled, or the error says why."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgefill.errors import InputError
from edgefill.holes.blending import harmonic_fill, poisson_blend
from edgefill.pictures.images import encode_picture, from_unit, read_picture, to_unit
from edgefill.pictures.masks import MASKS, known_pixels, parse_mask

GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I", "F")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
KINDS = [*MASKS, "random:0.9", "random:1", "pattern:0.97", "center:0", "center:0.5", "alpha"]


def image_of(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """A picture whose bytes are noise, whatever they mean in its mode."""
    blank = Image.new(mode, size)
    if mode == "F":
        return Image.fromarray(np.random.default_rng(seed).normal(0, 99, size[::-1]).astype(np.float32))
    image = Image.frombytes(mode, size, np.random.default_rng(seed).bytes(len(blank.tobytes())))
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    return image


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    mode=st.sampled_from(GREY + COLOUR),
    size=st.tuples(st.integers(1, 48), st.integers(1, 48)),
    mask=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_the_hole_is_filled_and_the_rest_is_bit_identical(mode, size, mask, seed):
    picture = read_picture(image_of(mode, size, seed))
    assert picture.size == size[::-1]
    spec = parse_mask(mask)
    if mask == "alpha" and picture.alpha is None:
        with pytest.raises(InputError, match="transparency"):
            known_pixels(spec, picture, seed=seed)
        return
    known = known_pixels(spec, picture, seed=seed)
    target = to_unit(picture.values)
    for unit in (poisson_blend(-target[::-1, ::-1], target, known), harmonic_fill(target, known)):
        assert np.isfinite(unit).all()
        filled = picture.replaced(from_unit(unit, picture.values.dtype))
        again = read_picture(filled.to_pil())
        assert np.array_equal(again.values[known], picture.values[known])
        assert again.values.dtype == picture.values.dtype
    assert encode_picture(filled)[:4] == b"\x89PNG"
