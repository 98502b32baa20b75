"""What a network is calibrated with: pictures with holes, in the frames that it will see."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError
from edgefill.export.calibration import cases_of_folder, cases_of_pictures, feeds_of
from edgefill.model.interface import Sizes
from edgefill.model.manifest import completion_interface

INTERFACE = completion_interface(3, trained_side=64, sizes=Sizes(64, 64, (64, 64)), reach=None)


def folder(tmp_path, count: int, size=(90, 120)):
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:04}.png")
    return tmp_path


def test_cases_have_holes_of_many_kinds_and_the_picture_beneath():
    pictures = np.random.default_rng(0).integers(0, 256, (20, 3, 64, 64), dtype=np.uint8)
    cases = cases_of_pictures(pictures)
    assert len(cases) == 20
    for case, picture in zip(cases, pictures, strict=True):
        np.testing.assert_allclose(case.picture[0], picture / 127.5 - 1, atol=1e-6)
        np.testing.assert_array_equal(case.hole, case.known[0, 0] == 0)
    shares = [case.hole.mean() for case in cases]
    assert min(shares) > 0 and len({round(share, 2) for share in shares}) > 10


def test_large_pictures_are_few_and_evenly_chosen():
    pictures = np.zeros((40, 1, 512, 512), np.uint8)
    pictures += np.arange(40, dtype=np.uint8)[:, None, None, None]
    cases = cases_of_pictures(pictures)
    values = [round((case.picture[0, 0, 0, 0] + 1) * 127.5) for case in cases]
    assert values == [number * 40 // 16 for number in range(16)]


def test_a_folders_pictures_are_seen_in_frames_with_what_is_missing_hidden(tmp_path):
    cases = cases_of_folder(folder(tmp_path, 5), INTERFACE)
    assert len(cases) == 5
    for case, feeds in zip(cases, feeds_of(cases, INTERFACE), strict=True):
        assert case.picture.shape == (1, 3, 64, 64) and case.known.shape == (1, 1, 64, 64)
        assert case.hole.any() and not (case.hole & (case.known[0, 0] > 0)).any()
        assert np.abs(case.picture[0][:, case.hole]).max() > 0, "what should be drawn is known"
        assert not (feeds["picture"] * (1 - case.known)).any(), "and hidden"


def test_cells_beyond_a_small_picture_are_no_part_of_the_hole(tmp_path):
    for case in cases_of_folder(folder(tmp_path, 4, size=(20, 24)), INTERFACE):
        missing = case.known[0, 0] == 0
        assert missing.sum() > case.hole.sum() > 0


def test_a_place_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        cases_of_folder(tmp_path / "none", INTERFACE)
    with pytest.raises(InputError, match=r"[Nn]o picture"):
        cases_of_folder(tmp_path, INTERFACE)
