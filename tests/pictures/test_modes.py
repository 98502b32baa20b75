"""Every Pillow mode keeps its meaning."""

import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError
from edgefill.pictures.images import encode_picture, read_picture

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RGB[:, :, 2]
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"])
def test_colour_is_read_as_pillow_converts_it(mode):
    image = Image.fromarray(np.dstack([RGB, ALPHA])) if mode[-1] in "Aa" and mode != "PA" else None
    image = (image or Image.fromarray(RGB).convert("P")).convert(mode) if mode != "LAB" else _lab()
    picture = read_picture(image)
    straight = image.convert("RGBA") if mode == "RGBa" else image
    assert np.array_equal(picture.values, np.asarray(straight.convert("RGB")))
    assert picture.notices == (
        (f"mode {mode} read as RGB",) if mode in ("CMYK", "YCbCr", "LAB", "HSV") else ()
    )


def _lab() -> Image.Image:
    return Image.merge("LAB", [Image.fromarray(np.ascontiguousarray(RGB[:, :, band])) for band in range(3)])


def test_cmyk_ink_is_dark():
    assert read_picture(Image.new("CMYK", (1, 1), (0, 0, 0, 255))).values.max() == 0
    assert read_picture(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).values.ravel().tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA"])
def test_alpha_is_kept_apart_and_put_back(mode):
    family = "L" if mode in ("LA", "La") else "RGB"
    image = Image.fromarray(RGB).convert(family)
    image.putalpha(Image.fromarray(ALPHA))
    if mode == "PA":
        image = Image.merge("RGBA", [*Image.fromarray(RGB // 128 * 255).split(), Image.fromarray(ALPHA)])
    picture = read_picture(image.convert(mode))
    assert np.array_equal(picture.alpha, ALPHA)
    assert picture.to_pil().mode == family + "A"
    assert np.array_equal(np.asarray(picture.to_pil())[:, :, -1], ALPHA)


@pytest.mark.parametrize(
    ("mode", "transparency", "colour"),
    [
        ("L", 7, 7),
        ("1", 255, 255),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("P", 4, 4),
        ("P", b"\xff\xff\xff\xff\x00", 4),
    ],
)
def test_a_transparent_colour_becomes_alpha(tmp_path, mode, transparency, colour):
    image = Image.new(mode, (4, 3), 0)
    if mode == "P":
        image.putpalette([value for entry in range(8) for value in (entry, 2 * entry, 200)])
    image.putpixel((2, 1), colour)
    image.save(tmp_path / "t.png", transparency=transparency)
    alpha = read_picture(tmp_path / "t.png").alpha
    assert alpha[1, 2] == 0
    assert (alpha == 255).sum() == 11


def test_black_and_white_is_grey():
    picture = read_picture(Image.fromarray(GREY > 100))
    assert np.array_equal(picture.values[:, :, 0], np.where(GREY > 100, 255, 0))


def test_16_bits_stay_16_bits(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    picture = read_picture(tmp_path / "ramp.png")
    assert np.array_equal(picture.values[:, :, 0], ramp)
    assert picture.to_pil().mode == "I;16"
    (tmp_path / "again.png").write_bytes(encode_picture(picture))
    assert np.array_equal(read_picture(tmp_path / "again.png").values, picture.values)


def test_byte_order_does_not_matter():
    big = Image.frombytes("I;16B", (2, 1), bytes([1, 44, 156, 64]))
    assert read_picture(big).values.ravel().tolist() == [300, 40000]


def test_the_transparent_value_of_16_bits_is_ignored_with_a_notice(tmp_path):
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(tmp_path / "t.png", transparency=300)
    picture = read_picture(tmp_path / "t.png")
    assert picture.alpha is None
    assert "transparent value is ignored" in picture.notices[0]


def test_16_bit_colour_keeps_its_upper_8_with_a_notice(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((2, 2, 3), 0x1234, np.uint16))
    picture = read_picture(tmp_path / "deep.png")
    assert (picture.values == 0x12).all()
    assert picture.notices == ("16 bits a channel read as 8",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 32768, 65535]),
        ([0, 51, 255], [0, 51 * 257, 65535]),
        ([0, 300, 65535], [0, 300, 65535]),
        ([-1, 0, 1], [0, 32768, 65535]),
        ([0, 70000, 140000], [0, 32768, 65535]),
        ([-5, -5, -5], [0, 0, 0]),
    ],
)
def test_floats_find_their_white(values, expected):
    picture = read_picture(Image.fromarray(np.array([values], np.float32)))
    assert np.abs(picture.values.ravel().astype(int) - expected).max() <= 1
    assert "32-bit values" in picture.notices[0]


def test_integers_are_16_bits_where_they_fit():
    assert read_picture(Image.fromarray(np.array([[0, 3, 65535]], np.int32))).values.ravel().tolist() == [
        0,
        3,
        65535,
    ]
    stretched = read_picture(Image.fromarray(np.array([[-70000, 0, 70000]], np.int32)))
    assert stretched.values.ravel().tolist() == [0, 32768, 65535]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(InputError, match="NaN or infinite"):
        read_picture(Image.fromarray(np.array([[0, bad]], np.float32)))
