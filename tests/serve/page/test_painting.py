"""The mask: painted with mouse, finger, pen and keys; undone, loaded, kept."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.serve.page.conftest import desk_at, write

MIDDLE = [(0.45, 0.5), (0.55, 0.5)]


def test_stroke_is_painted_where_the_mouse_went(desk, photograph):
    desk.open(photograph)
    desk.paint(*MIDDLE)
    mask = desk.mask()
    assert mask.shape == (200, 300)
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - 100) < 3 and abs(columns.mean() - 150) < 3
    assert np.ptp(columns) > np.ptp(rows) > 5


def test_eraser_takes_away_and_rectangle_fills(desk, photograph):
    desk.open(photograph)
    desk.press("r")
    desk.paint((0.4, 0.4), (0.6, 0.6))
    whole = desk.mask()
    rows, columns = np.nonzero(whole)
    assert whole.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    desk.press("e")
    desk.paint((0.4, 0.5), (0.6, 0.5))
    rest = desk.mask()
    assert 0 < rest.sum() < whole.sum() and not (rest & ~whole).any()


def test_undo_and_redo(desk, photograph):
    desk.open(photograph)
    desk.paint(*MIDDLE)
    first = desk.mask()
    desk.paint((0.5, 0.3), (0.5, 0.7))
    second = desk.mask()
    desk.press("Control+z")
    assert np.array_equal(desk.mask(), first)
    desk.press("Control+z")
    assert not desk.mask().any() and desk.page.is_disabled("#undo") and desk.page.is_disabled("#complete")
    desk.press("Control+Shift+z", "Control+y")
    assert np.array_equal(desk.mask(), second) and desk.page.is_disabled("#redo")
    desk.page.click("#clear-mask")
    desk.page.wait_for_function("() => document.getElementById('save-mask').disabled")
    desk.page.click("#undo")
    assert np.array_equal(desk.mask(), second)


def test_invert_turns_it_around(desk, photograph):
    desk.open(photograph)
    desk.paint(*MIDDLE)
    before = desk.mask()
    desk.page.click("#invert-mask")
    desk.page.wait_for_function("() => document.getElementById('said').textContent === 'Mask inverted'")
    assert np.array_equal(desk.mask(), ~before)
    desk.press("Control+z")
    assert np.array_equal(desk.mask(), before)


def test_closer_the_same_brush_paints_finer(desk, photograph):
    desk.open(photograph)
    desk.paint((0.5, 0.5), (0.5, 0.5))
    coarse = desk.mask().sum()
    desk.press("Control+z", "+", "+", "+", "+")
    desk.paint((0.5, 0.5), (0.5, 0.5))
    assert desk.mask().sum() < coarse / 3
    desk.press("0", "[")
    assert desk.page.text_content("#said").startswith("Brush of")


def test_mask_that_was_saved_is_loaded_again(desk, photograph, tmp_path):
    desk.open(photograph)
    desk.paint(*MIDDLE)
    mask = desk.mask()
    Image.fromarray(mask).save(tmp_path / "mask.png")
    desk.page.click("#clear-mask")
    desk.page.set_input_files("#file-mask", tmp_path / "mask.png")
    desk.page.wait_for_function("() => document.getElementById('said').textContent === 'Mask loaded'")
    assert np.array_equal(desk.mask(), mask)


def test_mask_is_kept_for_the_next_picture_if_that_is_wanted(desk, photograph, tmp_path):
    desk.open(photograph)
    desk.paint(*MIDDLE)
    mask = desk.mask()
    desk.page.check("#keep", force=True)
    desk.open(write(tmp_path / "twice.png", 400, 600))
    twice = desk.mask()
    assert twice.shape == (400, 600)
    assert (twice[::2, ::2] != mask).mean() < 0.01
    desk.page.uncheck("#keep", force=True)
    desk.open(photograph)
    assert not desk.mask().any()


def test_keys_alone_paint_and_complete(desk, photograph):
    desk.open(photograph, "faces64-glcic")
    desk.page.focus("#view")
    desk.press("ArrowRight", "ArrowRight", " ", "ArrowDown", " ")
    assert desk.page.text_content("#said") == "Painted"
    assert desk.mask().any()
    desk.press("Enter")
    desk.wait_for_result()
    assert desk.page.text_content("#said").startswith("Completed")
    desk.press("c")
    assert desk.page.is_visible("#split")


@pytest.fixture
def phone(browser, server):
    """A page on a small screen that is touched."""
    options = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "device_scale_factor": 2}
    yield from desk_at(browser, server.url, **options)


def touch(desk, *moments):
    """Touches at ``moments``, lists of places on the stage; the last one is lifted."""
    session = desk.page.context.new_cdp_session(desk.page)
    for number, places in enumerate([*moments, []]):
        kind = (
            "touchEnd"
            if not places
            else "touchMove"
            if number and len(moments[number - 1]) == len(places)
            else "touchStart"
        )
        points = [
            dict(zip("xy", desk.at(*place), strict=True)) | {"id": at} for at, place in enumerate(places)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.detach()


def test_one_finger_paints(phone, photograph):
    phone.open(photograph)
    touch(phone, [(0.4, 0.45)], [(0.5, 0.45)], [(0.6, 0.45)])
    columns = np.nonzero(phone.mask())[1]
    assert np.ptp(columns) > 60


def test_two_fingers_zoom_and_paint_nothing(phone, photograph):
    phone.open(photograph)
    before = phone.page.text_content("#scale")
    touch(
        phone,
        [(0.45, 0.45)],
        [(0.45, 0.45), (0.55, 0.45)],
        [(0.35, 0.45), (0.65, 0.45)],
        [(0.2, 0.45), (0.8, 0.45)],
    )
    assert float(phone.page.text_content("#scale")[:-2]) > 2 * float(before[:-2])
    assert not phone.mask().any()


def test_pen_paints_as_hard_as_it_presses(desk, photograph):
    desk.open(photograph)
    sizes = []
    for force in (0.1, 1.0):
        session = desk.page.context.new_cdp_session(desk.page)
        x, y = desk.at(0.5, 0.5)
        pen = {"pointerType": "pen", "button": "left", "force": force, "y": y, "clickCount": 1}
        session.send("Input.dispatchMouseEvent", {"type": "mousePressed", "x": x, **pen})
        session.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + 30, "buttons": 1, **pen})
        session.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": x + 30, **pen, "force": 0})
        session.detach()
        sizes.append(int(desk.mask().sum()))
        desk.press("Control+z")
    assert sizes[1] > 2 * sizes[0] > 0


@pytest.mark.parametrize("orientation", [6, 3])
def test_turned_photograph_is_painted_as_it_is_seen(desk, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    desk.open(write(tmp_path / "turned.jpg", 200, 300, exif=exif, quality=95), "faces64-glcic")
    desk.paint((0.5, 0.3), (0.5, 0.4))
    mask = desk.mask()
    assert mask.shape == ((300, 200) if orientation == 6 else (200, 300))
    desk.complete()
    completed = desk.saved("#save")
    with Image.open(tmp_path / "turned.jpg") as image:
        turns = Image.Transpose.ROTATE_270 if orientation == 6 else Image.Transpose.ROTATE_180
        upright = np.asarray(image.transpose(turns))
    assert np.array_equal(completed[~mask], upright[~mask])


def test_forty_megapixels_are_painted_at_full_size(desk, tmp_path):
    Image.linear_gradient("L").resize((8000, 5000)).save(tmp_path / "large.jpg", quality=60)
    desk.open(tmp_path / "large.jpg")
    desk.paint(*MIDDLE)
    mask = desk.mask()
    assert mask.shape == (5000, 8000)
    rows, columns = np.nonzero(mask[::10, ::10])
    assert abs(rows.mean() - 250) < 6 and abs(columns.mean() - 400) < 6
    desk.press("Control+z", *["+"] * 14)
    desk.page.wait_for_timeout(300)  # for the closer look
    desk.paint((0.3, 0.3), (0.35, 0.3))
    assert 0 < int(desk.mask().sum()) < 20_000
    assert desk.page.eval_on_selector("#view", "each => each.width * each.height") < 4e6
