"""The large photograph is the same on every run, has the holes that it should, and its passes are counted."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from benchmarks import large_photograph
from tests.bundles import tiny_one_pass


@pytest.fixture
def sources(tmp_path) -> list:
    """Pictures of one colour each, lying and standing."""
    paths = []
    for number, size in enumerate([(60, 40), (40, 60), (50, 50)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size, (10 + number, 100, 200)).save(paths[-1])
    return paths


def test_the_mosaic_has_no_gap(sources):
    page = large_photograph.mosaic(sources, (500, 300))
    assert page.size == (500, 300)
    assert set(np.unique(np.asarray(page)[:, :, 0])) == {10, 11, 12}


def test_the_ten_holes_are_apart_and_from_100_to_600_pixels_long():
    mask = np.asarray(large_photograph.holes())
    assert mask.shape == (3000, 4000)
    parts, count = ndimage.label(mask)
    assert count == large_photograph.HOLES == 10
    longest = sorted(max(side.stop - side.start for side in box) for box in ndimage.find_objects(parts))
    assert 90 <= longest[0] <= 110 and 540 <= longest[-1] <= 660


def test_passes_are_counted_and_timed_with_what_goes_on_around_them(sources, tmp_path):
    model = tmp_path / "tiny.edgefill"
    model.write_bytes(tiny_one_pass(3))
    figures = large_photograph.measured(str(model), "cpu", sources, (400, 300))
    assert figures["passes"] >= 1 and figures["peak_mb"] > 30
    assert 0 < figures["seconds_in_passes"] < figures["seconds_without_reading"] < figures["seconds"]
    assert figures["times_its_passes"] > 1 and figures["seconds_of_one_pass"] > 0


def test_a_process_that_fails_says_why(sources, tmp_path):
    with pytest.raises(SystemExit, match="absent"):
        large_photograph.measured(str(tmp_path / "absent.edgefill"), "cpu", sources, (400, 300))
