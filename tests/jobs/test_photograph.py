from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError
from edgefill.holes import filling
from edgefill.holes.boxes import Box
from edgefill.holes.scaling import scale_known
from edgefill.jobs.photograph import prepare
from edgefill.pictures.images import read_picture, split_luminance, to_unit
from edgefill.pictures.masks import MaskSpec, parse_mask
from tests.completion.fakes import fake_model

GREY, COLOUR = fake_model(1, 16), fake_model(3, 16)


def noise(height: int, width: int, channels: int, seed: int = 0, dtype=np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, channels), dtype, endpoint=True)


def mask_file(folder, hole: np.ndarray) -> MaskSpec:
    Image.fromarray(hole).save(folder / "mask.png")
    return parse_mask(str(folder / "mask.png"))


def test_a_picture_of_the_model_s_size_is_the_target_as_it_is():
    values = noise(16, 16, 1)
    photograph = prepare(read_picture(values), parse_mask("center"), GREY, seed=0)
    target, weight, block_weight = (part[0] for part in photograph.evidence)
    known = np.ones((16, 16), bool)
    known[4:12, 4:12] = False
    np.testing.assert_array_equal(weight[0], known)
    np.testing.assert_allclose(target[0][known], to_unit(values)[:, :, 0][known], atol=1e-6)
    assert not block_weight.any()
    assert target.dtype == weight.dtype == block_weight.dtype == np.float32


@pytest.mark.parametrize("size", [(16, 16), (40, 33), (7, 50), (5, 5)])
def test_what_lies_in_the_hole_never_reaches_the_search(size, tmp_path):
    hole = np.random.default_rng(3).random(size) < 0.4
    spec = mask_file(tmp_path, hole)
    values, other = noise(*size, 3), noise(*size, 3, seed=1)
    changed = np.where(hole[:, :, None], other, values)
    one, two = (prepare(read_picture(v), spec, COLOUR, seed=0) for v in (values, changed))
    for left, right in zip(one.evidence, two.evidence, strict=True):
        np.testing.assert_array_equal(left, right)
    generated = np.zeros((3, 16, 16), np.float32)
    np.testing.assert_array_equal(one.masked().values, two.masked().values)
    np.testing.assert_array_equal(one.finished(generated).values, two.finished(generated).values)


def test_a_larger_picture_is_averaged_over_its_known_pixels():
    values = np.random.default_rng(0).uniform(-1, 1, (32, 32, 1)).astype(np.float32)
    known = np.random.default_rng(1).random((32, 32)) < 0.5
    target, share = scale_known(values, known, (16, 16))
    for row, column in np.ndindex(16, 16):
        cell = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert share[row, column] == pytest.approx(known[cell].mean(), abs=1e-6)
        if known[cell].any():
            assert target[row, column, 0] == pytest.approx(values[cell][known[cell]].mean(), abs=1e-5)
        else:
            assert target[row, column, 0] == 0


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(noise(30, 41, 1)[:, :, 0]),
        Image.fromarray(noise(30, 41, 3)),
        Image.fromarray(noise(30, 41, 4)),
        Image.fromarray(noise(30, 41, 4)).convert("LA"),
        Image.fromarray(noise(30, 41, 1, dtype=np.uint16)[:, :, 0]),
    ],
    ids=lambda picture: picture.mode,
)
@pytest.mark.parametrize("model", [GREY, COLOUR], ids=["grey model", "colour model"])
@pytest.mark.parametrize("blend", ["poisson", "none"])
@pytest.mark.parametrize("box", [None, Box(5, 3, 20, 24)], ids=["whole", "box"])
def test_known_pixels_and_alpha_come_back_bit_for_bit(picture, model, blend, box):
    read = read_picture(picture)
    photograph = prepare(read, parse_mask("pattern:0.4"), model, seed=1, box=box)
    generated = np.random.default_rng(0).uniform(-1, 1, model.picture_shape).astype(np.float32)
    finished = photograph.finished(generated, blend)
    hole = np.zeros(read.size, bool)
    (box or Box(0, 0, 41, 30)).cut(hole)[:] = ~photograph.known
    np.testing.assert_array_equal(finished.values[~hole], read.values[~hole])
    assert (finished.values[hole] != read.values[hole]).mean() > 0.5
    assert finished.to_pil().mode == picture.mode
    if read.alpha is not None:
        np.testing.assert_array_equal(finished.alpha, read.alpha)


def test_without_blending_the_hole_is_what_g_drew():
    generated = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16)).astype(np.float32)
    photograph = prepare(read_picture(noise(16, 16, 1)), parse_mask("center"), GREY, seed=0)
    finished = to_unit(photograph.finished(generated, "none").values)[:, :, 0]
    np.testing.assert_allclose(finished[~photograph.known], generated[0][~photograph.known], atol=1 / 250)


def test_a_grey_model_takes_the_colour_of_the_hole_from_its_edge():
    values = np.full((40, 40, 3), (200, 120, 60), np.uint8)
    photograph = prepare(read_picture(values), parse_mask("center"), GREY, seed=0)
    generated = np.linspace(-0.3, 0.3, 256, dtype=np.float32).reshape(1, 16, 16)
    finished = photograph.finished(generated, "none")
    _, chroma = split_luminance(to_unit(finished.values))
    _, expected = split_luminance(to_unit(values))
    np.testing.assert_allclose(chroma, expected, atol=0.02)
    assert np.ptp(finished.values[~photograph.known].mean(axis=1)) > 30, "the luminance is G's"


@pytest.mark.parametrize("mask", ["left", "lowres", "random:1"])
def test_a_hole_that_reaches_the_border_of_the_box_joins_the_picture_around_it(mask):
    values = np.full((40, 40, 3), (200, 120, 60), np.uint8)
    photograph = prepare(read_picture(values), parse_mask(mask), GREY, seed=0, box=Box(10, 10, 20, 20))
    finished = photograph.finished(np.full((1, 16, 16), -0.9, np.float32)).values
    assert np.abs(finished.astype(int) - values).max() <= 1, "a flat drawing takes the level of its edge"


def test_a_colour_model_sees_a_grey_picture_as_grey_and_gives_grey_back():
    values = noise(16, 16, 1)
    photograph = prepare(read_picture(values), parse_mask("left"), COLOUR, seed=0)
    target = photograph.evidence.target[0]
    np.testing.assert_array_equal(target[0], target[2])
    red = np.stack([np.ones((16, 16)), -np.ones((16, 16)), -np.ones((16, 16))]).astype(np.float32)
    finished = photograph.finished(red, "none").values
    assert finished.shape == (16, 16, 1) and abs(int(finished[8, 2, 0]) - 76) <= 1  # 0.299 · 255


def test_transparency_is_filled_however_little_it_is_and_becomes_opaque():
    values = noise(20, 20, 4)
    values[:, :, 3] = 255
    values[5:9, 6:12, 3] = 10
    values[5, 6:12, 3] = 254
    photograph = prepare(read_picture(values), parse_mask("alpha"), COLOUR, seed=0, box=Box(4, 2, 12, 12))
    assert (~photograph.known).sum() == 24
    alpha = photograph.finished(np.zeros((3, 16, 16), np.float32)).alpha
    assert (alpha == 255).all()


def test_transparency_stays_as_it_was_where_another_mask_is_filled(tmp_path):
    values = noise(20, 20, 4)
    values[:, :, 3] = 200
    hole = np.zeros((20, 20), bool)
    hole[5:9, 6:12] = True
    picture = read_picture(values)
    photograph = prepare(picture, mask_file(tmp_path, hole), COLOUR, seed=0, box=Box(4, 2, 12, 12))
    assert (photograph.finished(np.zeros((3, 16, 16), np.float32)).alpha == 200).all()


def test_a_painted_mask_outside_the_box_is_refused(tmp_path):
    hole = np.zeros((20, 20), bool)
    hole[2:6, 2:6] = True
    spec, picture = mask_file(tmp_path, hole), read_picture(noise(20, 20, 1))
    with pytest.raises(InputError, match="marks 12 pixels outside the box 0,0,3,20"):
        prepare(picture, spec, GREY, seed=0, box=Box(0, 0, 3, 20))
    assert (~prepare(picture, spec, GREY, seed=0, box=Box(1, 1, 10, 10)).known).sum() == 16


def test_lowres_knows_the_block_means_and_nothing_else():
    values = noise(48, 64, 1)
    photograph = prepare(read_picture(values), parse_mask("lowres"), GREY, seed=0)
    target, weight, block_weight = (part[0] for part in photograph.evidence)
    assert not weight.any() and (block_weight == 1).all() and block_weight.shape == (1, 2, 2)
    means = to_unit(values)[:, :, 0].reshape(2, 24, 2, 32).mean((1, 3))
    np.testing.assert_allclose(target[0], means.repeat(8, 0).repeat(8, 1), atol=1e-5)
    shuffled = values.copy()
    shuffled[:24, :32] = shuffled[:24, :32][::-1]
    again = prepare(read_picture(shuffled), parse_mask("lowres"), GREY, seed=0)
    np.testing.assert_array_equal(again.masked().values, photograph.masked().values)


def test_a_picture_of_the_blocks_themselves_is_enlarged_by_lowres():
    values = noise(2, 2, 1)
    photograph = prepare(read_picture(values), parse_mask("lowres"), GREY, seed=0)
    np.testing.assert_allclose(
        photograph.evidence.target[0, 0, ::8, ::8], to_unit(values)[:, :, 0], atol=1e-6
    )
    assert photograph.finished(np.zeros((1, 16, 16), np.float32)).size == (16, 16)


def test_what_a_mask_leaves_over_is_said():
    picture = read_picture(noise(16, 16, 1))
    assert "nothing is missing" in prepare(picture, parse_mask("center:0.5"), GREY, seed=0).picture.notices[0]
    assert "free sample" in prepare(picture, parse_mask("random:1"), GREY, seed=0).picture.notices[0]
    assert not prepare(picture, parse_mask("lowres"), GREY, seed=0).picture.notices


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,4,5", "1.5,2,3,4"])
def test_a_box_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="expected x,y,w,h"):
        Box.parse(text)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 0, 5), (10, 0, 7, 5), (0, 12, 5, 5), (16, 16, 1, 1)])
def test_a_box_outside_the_picture_is_refused(box):
    picture = replace(read_picture(noise(16, 16, 1)), name="a.png")
    with pytest.raises(InputError, match=r"'a.png' has 16×16"):
        prepare(picture, parse_mask("center"), GREY, seed=0, box=Box(*box))


HOLES = {
    "scattered": lambda rows, columns: np.random.default_rng(0).random(rows.shape) < 0.5,
    "all but a corner": lambda rows, columns: (rows > 60) | (columns > 50),
    "a broad stripe": lambda rows, columns: (columns > 40) & (columns < 190),
    "between two edges": lambda rows, columns: (rows > 20) & (rows < 270),
    "everything": lambda rows, columns: rows >= 0,
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_of_many_pixels_is_filled_in_bands_as_if_it_were_one(
    hole, turned, channels, tmp_path, monkeypatch
):
    """The model is grey: in a colour picture the colours go over the bands too."""
    rows, columns = np.mgrid[:300, :200]
    waves = [127 + 90 * np.sin(rows / 90 * (1 + each) + columns / 70) for each in range(channels)]
    values, missing = np.stack(waves, 2).astype(np.uint8), HOLES[hole](rows, columns)
    if turned:
        values, missing = values.swapaxes(0, 1), missing.T
    photograph = prepare(read_picture(values), mask_file(tmp_path, missing), GREY, seed=0)
    generated = np.full((1, *missing.shape), 0.4, np.float32)
    whole = photograph.finished(generated).values.astype(int)
    monkeypatch.setattr(filling, "AT_ONCE", 8000)
    assert len(filling.parts_of(~missing)) > 4
    banded = photograph.finished(generated).values.astype(int)
    np.testing.assert_array_equal(banded[~missing], values[~missing])
    assert np.abs(banded - whole).max() <= 12 and np.abs(banded - whole).mean() < 1


def test_a_large_box_joins_the_picture_around_it_in_every_band(monkeypatch):
    """All of it is missing, and the middle bands have nothing known but the lines where they are cut off."""
    ramp = np.repeat(np.linspace(20, 230, 320).astype(np.uint8)[:, None, None], 60, 1)
    box = Box(0, 10, 60, 300)
    photograph = prepare(read_picture(ramp), parse_mask("lowres"), GREY, seed=0, box=box)
    photograph = replace(photograph, block=0)
    monkeypatch.setattr(filling, "AT_ONCE", 3000)
    done = photograph.finished(np.zeros((1, 300, 60), np.float32)).values.astype(int)
    assert np.abs(done - ramp).max() <= 3


@pytest.mark.parametrize("size", [(5, 4000), (4000, 5), (20, 900), (17, 1000), (1, 9000)])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_bands_hold_all_that_is_missing_whatever_the_shape(size, share, monkeypatch):
    monkeypatch.setattr(filling, "AT_ONCE", 3000)
    missing, covered = np.random.default_rng(0).random(size) < share, np.zeros(size, int)
    for part in filling.parts_of(~missing):
        covered[part] += 1
    assert (covered[missing] == 1).all() and covered.max() <= 1


def test_a_small_hole_in_a_large_picture_is_all_that_is_looked_at():
    known = np.ones((4000, 3000), bool)
    known[100:110, 2990:] = False
    assert filling.parts_of(known) == [(slice(99, 111), slice(2989, 3000))]
    assert filling.parts_of(np.ones((5, 5), bool)) == []


@pytest.mark.parametrize(("place", "drawn"), [((50, 100), (12, 32, 3)), ((0, 270), (11, 31, 3))])
def test_of_a_drawing_only_what_the_hole_needs_is_made(place, drawn, tmp_path, monkeypatch):
    """All of it is half a gigabyte for a picture of 49 megapixels."""
    made = []

    class Watched(filling.Hole):
        def __init__(self, *parts) -> None:
            made.append(parts[0].shape)
            super().__init__(*parts)

    monkeypatch.setattr("edgefill.jobs.photograph.Hole", Watched)
    hole = np.zeros((200, 300), bool)
    hole[place[0] : place[0] + 10, place[1] : place[1] + 30] = True
    photograph = prepare(read_picture(noise(200, 300, 3)), mask_file(tmp_path, hole), COLOUR, seed=0)
    photograph.finished(np.zeros((3, 16, 16), np.float32))
    assert made == [drawn]
