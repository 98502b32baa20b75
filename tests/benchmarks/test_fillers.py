"""The contenders: who fills what, and from what."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fillers import BLACK, WHITE, completed_together, fillers, painted
from edgefill.completion import load
from tests.benchmarks.packaged import GREY, packaged_network
from tests.bundles import tiny_one_pass

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (48, 64, 3), np.uint8)
HOLE = np.zeros((48, 64), bool)
HOLE[10:25, 30:50] = HOLE[40:, :8] = True


@pytest.fixture
def model(tmp_path) -> str:
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_one_pass(3))
    return str(path)


def test_all_fill_the_hole_and_nothing_else_and_only_opencv_looks_into_it(model, tmp_path):
    found = fillers([model, "smooth"], ["cpu"], packaged_network(tmp_path / "packaged.onnx"))
    assert list(found)[:2] == ["tiny-cpu", "smooth-cpu"] and len(found) == 8
    for name, opened in found.items():
        fill, _ = opened()
        white, black = (fill(painted(PICTURE, HOLE, paint), HOLE) for paint in (WHITE, BLACK))
        assert white.dtype == np.uint8 and white.shape == PICTURE.shape
        if name in (
            "tiny-cpu",
            "smooth-cpu",
            "biharmonic",
            "harmonic",
        ):  # OpenCV's look a little, hence the paint
            np.testing.assert_array_equal(white, black, err_msg=name)
        if name.startswith("pipeline"):
            assert (white == GREY).all()
        else:
            np.testing.assert_array_equal(white[~HOLE], PICTURE[~HOLE], err_msg=name)
            assert (white[HOLE] != WHITE).any(), name


def test_only_one_packaged_network_is_shown_black(model, tmp_path):
    found = fillers([model], ["cpu"], packaged_network(tmp_path / "packaged.onnx"))
    assert [name for name, opened in found.items() if opened().paint == BLACK] == ["pipeline-black"]


def test_paint_covers_the_hole_alone():
    given = painted(PICTURE, HOLE, 7)
    assert (given[HOLE] == 7).all() and given.dtype == np.uint8
    np.testing.assert_array_equal(given[~HOLE], PICTURE[~HOLE])


def test_pictures_completed_together_are_those_completed_alone(model):
    pictures, holes = [PICTURE, 255 - PICTURE, PICTURE], [HOLE, HOLE[::-1], HOLE[:, ::-1]]
    with load(model, "cpu") as completer:
        together = completed_together(completer, pictures, holes, 8)
        for number, pair in enumerate(zip(pictures, holes, strict=True)):
            alone = completed_together(completer, *([each] for each in pair), 1)
            np.testing.assert_array_equal(together[number], alone[0])
