"""The race on photographs: that what it records is what ran, on two of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import photographs, record
from benchmarks.metrics import psnr
from benchmarks.pictures import PHOTOS
from tests.benchmarks.packaged import GREY, packaged_network
from tests.bundles import tiny_one_pass

CONTENDERS = ["tiny-cpu", "pipeline-white", "telea"]


@pytest.fixture(scope="module")
def raced(photos, tmp_path_factory) -> dict:
    """The figures of two photographs and a kind of mask; sheet and strip are in the folder too."""
    folder = tmp_path_factory.mktemp("raced")
    model = folder / "tiny.edgefill"
    model.write_bytes(tiny_one_pass(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "record", lambda *given: record.record(*given, folder=folder))
        photographs.main(
            [str(model)], "cpu", packaged_network(folder / "packaged.onnx"), photos, sets="test",
            kinds="strokes", contenders=",".join(CONTENDERS), pictures=2, sheet_path=folder / "sheet.png",
            strip_path=folder / "strip.png", strip_of="test/strokes/c0000", large=False, name="raced",
        )  # fmt: skip
    with Image.open(folder / "sheet-test-strokes.png") as page, Image.open(folder / "strip.png") as strip:
        assert page.width > 5 * 224 and page.height > 2 * 224, "two rows, and three contenders between"
        assert 3 * 224 < strip.width < 4 * 224
    document = json.loads((folder / "raced.json").read_text())
    assert document["environment"]["packages"]["opencv-python-headless"]
    return document["figures"]


def test_each_contender_has_its_scores_and_its_time(raced):
    race = raced["races"]["test/strokes"]
    assert race["pictures"] == 2 and list(race["contenders"]) == CONTENDERS
    for name, row in race["contenders"].items():
        assert row["ms"] > 0 and np.isfinite([row["psnr"], row["ssim"], row["lpips"]]).all(), name
    assert race["contenders"]["pipeline-white"]["times_pipeline"] == 1
    assert race["contenders"]["tiny-cpu"]["changed"] == 0


def test_the_scores_are_of_the_right_pictures_and_holes(raced):
    samples = photographs._samples(PHOTOS, "test", "strokes", 2)
    expected, changed = [], 0
    for sample in samples:
        picture, hole = sample.read()
        expected.append(psnr(picture, np.full_like(picture, GREY), hole, peak=255))
        changed += int((picture != GREY)[~hole].sum())
    row = raced["races"]["test/strokes"]["contenders"]["pipeline-white"]
    assert row["psnr"] == pytest.approx(np.mean(expected), abs=1e-3)
    assert row["changed"] == changed


def test_batches_are_compared_with_single_runs(raced):
    batch = raced["batches"]["cpu"]["test/strokes"]
    assert batch["pictures"] == 2 and batch["ms_a_picture"] > 0
    assert batch["values_that_differ"] == batch["largest_difference"] == 0


def test_a_difference_within_a_batch_shows(monkeypatch):
    picture, hole = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
    hole[1, 1:3] = True

    def peeking(_, pictures, holes, batch):
        return pictures

    monkeypatch.setattr(photographs, "completed_together", peeking)
    found = photographs._compared([(picture, hole)] * 2, None)
    assert found["values_that_differ"] == 2 * 2 * 3 and found["largest_difference"] == 255


def test_what_cannot_be_raced_is_said(tmp_path):
    with pytest.raises(SystemExit, match=r"no photographs in .*kodak.*--data"):
        photographs._samples(tmp_path, "kodak", "box", 0)
    with pytest.raises(SystemExit, match="no contenders nobody; expected some of one, two"):
        photographs._field({"one": None, "two": None}, "two,nobody")
    with pytest.raises(SystemExit, match="no kodak/box/77"):
        photographs._save_strip("one", "kodak/box/77", {"kodak/box": []}, tmp_path, tmp_path / "strip.png")
