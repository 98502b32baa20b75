"""Pages and animations show every picture, in order, the same every time."""

import io

import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError
from edgefill.pictures.sheets import flat, gif_bytes, masked_view, pictures_of, sheet, strip

RED, LIME, BLUE = (Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue"))
WHITE = (255, 255, 255)


def test_a_strip_is_side_by_side_at_full_size():
    page = strip([RED, LIME, BLUE], gap=4)
    assert page.size == (3 * 30 + 4 * 4, 20 + 2 * 4)
    assert [page.getpixel((4 + number * 34, 4)) for number in range(3)] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]
    assert page.getpixel((35, 10)) == WHITE


def test_a_sheet_is_nearly_square_and_holds_all():
    batch = np.linspace(-1, 1, 10, dtype=np.float32)[:, None, None, None] * np.ones(
        (1, 1, 16, 16), np.float32
    )
    page = np.asarray(sheet(batch, gap=2))
    assert page.shape == (4 * 18 + 2, 3 * 18 + 2, 3)
    seen = [page[2 + 18 * (n // 3) + 5, 2 + 18 * (n % 3) + 5, 0] for n in range(10)]
    assert seen == [0, 28, 57, 85, 113, 142, 170, 198, 227, 255]


def test_64_make_8_by_8():
    assert sheet(np.zeros((64, 3, 8, 8), np.float32), gap=0).size == (64, 64)


def test_pictures_of_different_size_are_centred_and_large_ones_shrunk():
    page = sheet([RED, Image.new("L", (600, 1200))], columns=2, gap=0, cell=60)
    assert page.size == (60, 60)
    assert page.getpixel((0, 20)) == (255, 0, 0)
    assert page.getpixel((0, 19)) == WHITE
    assert page.getpixel((30 + 15, 30)) == (0, 0, 0)


def test_labels_are_written_below_and_stay_in_their_cell():
    plain, labelled = strip([RED, LIME]), strip([RED, LIME], ["a", "a very long\nname 🙂 \udcff"])
    assert labelled.width == plain.width
    assert labelled.height > plain.height
    below = np.asarray(labelled)[26:]
    assert below[:, :34].min() < 200
    assert below[:, 34:].min() < 200
    assert (below[:, :3] == 255).all()
    assert (below[:, -3:] == 255).all()


def test_no_picture_is_an_error():
    for draw in (strip, sheet, gif_bytes):
        with pytest.raises(InputError, match="expected at least one"):
            draw([])


def test_the_masked_view_shows_the_hole_in_grey():
    known = np.ones((20, 30), bool)
    known[5:9, 10:12] = False
    view = np.asarray(masked_view(LIME, known))
    assert (view[~known] == 128).all()
    assert (view[known] == (0, 255, 0)).all()
    assert LIME.getpixel((10, 5)) == (0, 255, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_flat_rgb(mode):
    assert flat(Image.new(mode, (2, 2))).mode == "RGB"


def test_flat_lays_transparency_on_white_and_scales_16_bits():
    assert flat(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == WHITE
    assert flat(Image.fromarray(np.array([[0x8000]], np.uint16))).getpixel((0, 0)) == (128, 128, 128)


def test_pictures_of_a_batch_are_grey_or_rgb():
    assert [image.mode for image in pictures_of(np.zeros((2, 1, 4, 6)))] == ["L", "L"]
    colour = pictures_of(np.array([1, -1, 0.0]).reshape(1, 3, 1, 1))[0]
    assert colour.getpixel((0, 0)) == (255, 0, 128)


def test_a_gif_has_every_frame_and_loops():
    frames = [RED, LIME, BLUE, RED]
    with Image.open(io.BytesIO(gif_bytes(frames, fps=10))) as animation:
        assert (animation.n_frames, animation.info["loop"], animation.info["duration"]) == (4, 0, 100)
        for number, frame in enumerate(frames):
            animation.seek(number)
            difference = np.asarray(animation.convert("RGB")).astype(int) - np.asarray(frame)
            assert np.abs(difference).max() <= 8
    with Image.open(io.BytesIO(gif_bytes(frames, loops=1))) as once:
        assert "loop" not in once.info


def test_grey_frames_are_exact():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with Image.open(io.BytesIO(gif_bytes([Image.fromarray(ramp), Image.fromarray(ramp.T)]))) as animation:
        assert np.array_equal(np.asarray(animation.convert("L")), ramp)
        animation.seek(1)
        assert np.array_equal(np.asarray(animation.convert("L")), ramp.T)


def test_one_frame_is_a_picture():
    with Image.open(io.BytesIO(gif_bytes([LIME]))) as still:
        assert still.size == (30, 20)


def test_the_same_pictures_give_the_same_bytes():
    assert gif_bytes([RED, LIME]) == gif_bytes([RED, LIME])
    assert strip([RED, BLUE], ["a", "b"]).tobytes() == strip([RED, BLUE], ["a", "b"]).tobytes()
