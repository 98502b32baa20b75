"""What users ask to be filled is what is filled."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from edgefill.errors import InputError
from edgefill.pictures.images import Picture, read_picture
from edgefill.pictures.masks import MASKS, MaskSpec, known_pixels, parse_mask


def blank(height: int = 64, width: int = 64, name: str = "photo.jpg") -> Picture:
    return Picture(np.zeros((height, width, 1), np.uint8), name=name)


def known(text: str, picture: Picture | None = None, seed: int = 0, **options) -> np.ndarray:
    return known_pixels(parse_mask(text), picture or blank(), seed=seed, **options)


class TestDrawn:
    def test_center_is_the_reference_implementation_s(self):
        expected = np.ones((64, 64), bool)
        expected[16:48, 16:48] = False
        assert np.array_equal(known("center"), expected)
        assert np.array_equal(known("center:0.25"), expected)
        assert (~known("center:0.4")).sum() == (38 - 25) ** 2
        assert not known("center:0").any()
        assert known("center:0.5").all()

    def test_grid_keeps_every_fourth_pixel(self):
        assert known("grid")[::4, ::4].all()
        assert known("grid").sum() == 16 * 16

    def test_full_keeps_everything_and_lowres_nothing(self):
        assert known("full").all()
        assert not known("lowres").any()

    @pytest.mark.parametrize(
        ("side", "hole"),
        [
            ("left", np.s_[:, :15]),
            ("right", np.s_[:, 16:]),
            ("top", np.s_[:10]),
            ("bottom", np.s_[11:]),
        ],
    )
    def test_halves(self, side, hole):
        expected = np.ones((21, 31), bool)
        expected[hole] = False
        assert np.array_equal(known(side, blank(21, 31)), expected)

    @pytest.mark.parametrize(("text", "fraction"), [("random", 0.2), ("random:0.8", 0.8)])
    def test_random_leaves_its_fraction_out(self, text, fraction):
        assert abs((~known(text, blank(300, 200))).mean() - fraction) < 0.01

    @pytest.mark.parametrize(
        ("text", "fraction"), [("pattern", 0.25), ("pattern:0.6", 0.6), ("pattern:0", 0)]
    )
    @pytest.mark.parametrize("size", [(64, 64), (200, 300), (1, 77)])
    def test_pattern_leaves_out_exactly_its_fraction(self, text, fraction, size):
        assert (~known(text, blank(*size))).sum() == round(fraction * size[0] * size[1])

    def test_pattern_is_few_blobs_at_any_size(self):
        for side in (64, 500):
            for seed in range(5):
                _, count = ndimage.label(~known("pattern", blank(side, side), seed))
                assert 1 <= count <= 20

    @pytest.mark.parametrize("kind", ["random", "pattern"])
    def test_the_seed_decides_and_nothing_else(self, kind):
        np.random.seed(1)
        first = known(kind, seed=7)
        np.random.seed(2)
        known(kind, seed=1)
        assert np.array_equal(known(kind, seed=7), first)
        assert not np.array_equal(known(kind, seed=8), first)

    @pytest.mark.parametrize("kind", MASKS)
    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (63, 65)])
    def test_any_size(self, kind, size):
        mask = known(kind, blank(*size))
        assert (mask.shape, mask.dtype, mask.flags.c_contiguous) == (size, bool, True)


class TestPainted:
    def paint(self, path, size=(64, 64), mode="L", white=255):
        mask = Image.new(mode, size, 0)
        mask.paste(white, (10, 20, 30, 25))
        mask.save(path)
        return str(path)

    @pytest.mark.parametrize(
        ("mode", "white"),
        [("L", 255), ("1", 1), ("RGB", (255, 255, 255)), ("I;16", 65535)],
    )
    def test_white_is_filled(self, tmp_path, mode, white):
        notices = []
        mask = known(self.paint(tmp_path / "m.png", mode=mode, white=white), notices=notices)
        expected = np.ones((64, 64), bool)
        expected[20:25, 10:30] = False
        assert np.array_equal(mask, expected)
        assert notices == []

    def test_grey_is_cut_at_127_with_a_notice(self, tmp_path):
        Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "m.png")
        notices = []
        mask = known(str(tmp_path / "m.png"), blank(1, 4), notices=notices)
        assert mask.tolist() == [[True, True, False, False]]
        assert "grey values" in notices[0]

    def test_16_bit_grey_is_cut_at_its_half(self, tmp_path):
        Image.fromarray(np.array([[300, 32767, 32768]], np.uint16)).save(tmp_path / "m.png")
        assert known(str(tmp_path / "m.png"), blank(1, 3)).tolist() == [[True, True, False]]

    def test_another_size_is_refused_unless_resizing_is_asked_for(self, tmp_path):
        path = self.paint(tmp_path / "m.png", (128, 128))
        with pytest.raises(InputError, match="128×128 pixels, expected the picture's 64×64"):
            known(path)
        notices = []
        mask = known(path, resize=True, notices=notices)
        assert mask.shape == (64, 64)
        assert abs(int((~mask).sum()) - 20 * 5 / 4) <= 5

    def test_a_folder_gives_each_picture_the_mask_of_its_name(self, tmp_path):
        self.paint(tmp_path / "photo.png")
        Image.new("L", (64, 64), 255).save(tmp_path / "other.PNG")
        (tmp_path / "photo.txt").touch()
        assert known(str(tmp_path)).sum() == 64 * 64 - 100
        assert not known(str(tmp_path), blank(name="other.webp")).any()

    def test_a_picture_without_a_mask_of_its_own_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"'photo\.jpg': 0 files .* 'photo\.png'"):
            known(str(tmp_path))
        self.paint(tmp_path / "photo.png")
        self.paint(tmp_path / "photo.bmp")
        with pytest.raises(InputError, match="2 files"):
            known(str(tmp_path))

    def test_a_folder_that_has_gone(self, tmp_path):
        with pytest.raises(InputError, match="cannot list the masks"):
            known_pixels(MaskSpec("folder", path=tmp_path / "gone"), blank(), seed=0)

    def test_alpha_fills_what_is_transparent(self):
        picture = Picture(np.zeros((1, 4, 3), np.uint8), np.array([[0, 127, 128, 255]], np.uint8))
        assert known("alpha", picture).tolist() == [[False, False, False, True]]
        with pytest.raises(InputError, match="it has none"):
            known("alpha")


class TestParsing:
    @pytest.mark.parametrize("text", ["centre", "left:3", "", "nul\0l", "~nobody-of-that-name/x", "x" * 5000])
    def test_what_is_no_mask_is_answered_with_the_kinds(self, text):
        with pytest.raises(InputError) as caught:
            parse_mask(text)
        for kind in [*MASKS, "alpha", "folder"]:
            assert kind in str(caught.value)

    @pytest.mark.parametrize(
        "text", ["center:0.6", "center:", "random:-1", "random:nan", "pattern:1.01", "random:x"]
    )
    def test_parameters_out_of_range(self, text):
        with pytest.raises(InputError, match="expected a number from 0 to"):
            parse_mask(text)

    def test_paths_and_kinds(self, tmp_path):
        (tmp_path / "m.png").touch()
        assert parse_mask(str(tmp_path)).kind == "folder"
        assert parse_mask(str(tmp_path / "m.png")) == MaskSpec("file", path=tmp_path / "m.png")
        assert parse_mask("random:0.5") == MaskSpec("random", 0.5)
        assert parse_mask("left") == MaskSpec("left")


def test_paint_on_a_transparent_layer_fills_only_what_is_painted(tmp_path):
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[..., :3] = 255  # white everywhere, as editors leave it under what is transparent
    layer[2:4, 2:4, 3] = 255
    Image.fromarray(layer).save(tmp_path / "m.png")
    notices = []
    known = known_pixels(parse_mask(str(tmp_path / "m.png")), Picture(np.zeros((8, 8, 1), np.uint8)), seed=0,
                         notices=notices)  # fmt: skip
    assert (~known).sum() == 4
    assert not known[2:4, 2:4].any()
    assert "transparent" in notices[0]


def test_folder_of_masks_has_the_structure_of_the_folder_of_pictures(tmp_path):
    spec = MaskSpec("folder", path=tmp_path / "masks", roots=(tmp_path / "in",))
    for place, white in (("masks", 0), ("masks/sub", 255)):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(np.full((4, 4), white, np.uint8)).save(tmp_path / place / "a.png")
    (tmp_path / "in" / "sub" / "deep").mkdir(parents=True)
    for place in ("in", "in/sub", "in/sub/deep"):
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / place / "a.png")
    known = {
        place: known_pixels(spec, read_picture(tmp_path / place / "a.png"), seed=0).all()
        for place in ("in", "in/sub", "in/sub/deep")
    }
    assert known == {"in": True, "in/sub": False, "in/sub/deep": True}


def test_folder_of_masks_is_listed_once(tmp_path, monkeypatch):
    for number in range(20):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{number}.png")
    os.utime(tmp_path, (0, 0))
    listed = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    spec = parse_mask(str(tmp_path))
    for number in range(20):
        known_pixels(spec, replace(Picture(np.zeros((4, 4, 1), np.uint8)), name=f"{number}.jpg"), seed=0)
    assert listed == [tmp_path]
    (tmp_path / "new.png").write_bytes((tmp_path / "0.png").read_bytes())
    known_pixels(spec, replace(Picture(np.zeros((4, 4, 1), np.uint8)), name="new.jpg"), seed=0)
    assert len(listed) == 2


def test_mask_is_found_that_was_added_in_the_tick_of_the_clock_in_which_its_folder_was_listed(tmp_path):
    now, spec = time.time_ns(), parse_mask(str(tmp_path))
    picture = Picture(np.zeros((4, 4, 1), np.uint8), name="a.jpg")
    os.utime(tmp_path, ns=(now, now))
    with pytest.raises(InputError, match="0 files"):
        known_pixels(spec, picture, seed=0)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "a.png")
    os.utime(tmp_path, ns=(now, now))
    assert not known_pixels(spec, picture, seed=0).any()
