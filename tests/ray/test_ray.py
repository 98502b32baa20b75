"""On a local Ray of two workers: each picture becomes one row, whatever happens to it or to who has it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgefill
from edgefill.errors import InputError, OutputError

pytest.importorskip("ray.data", reason="Ray is half a gigabyte, and not part of [dev]: pip install '.[ray]'")

import edgefill.ray
from edgefill.ray.places import Place, find_inputs, with_masks
from tests.ray.deadly import deadly

pytestmark = pytest.mark.filterwarnings("default")  # those of Ray are its own
_COUNT = 40


@pytest.fixture(scope="module")
def cluster():
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    """A folder with small pictures in two folders, and one that is none."""
    values = np.random.default_rng(0).integers(0, 256, (_COUNT, 8, 8), np.uint8)
    for number, pixels in enumerate(values):
        path = tmp_path / "in" / ("a" if number % 2 else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "in" / "torn.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    return tmp_path / "in"


def _pixels(content: Path | bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
        return np.asarray(image)


def test_with_a_worker_killed_in_the_middle_nothing_is_lost_and_nothing_twice(cluster, photos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    asked = {"model": "smooth", "workers": 2, "batch": 2, "filesystem": deadly("21.png", log)}
    rows = list(edgefill.ray.complete(photos, out, **asked).iter_rows())
    assert (tmp_path / "log.killed").exists()
    readers = set(re.findall(r"^(\d+) rb", log.read_text(), re.MULTILINE))
    assert len(readers) >= 3  # two workers, and who came for the one that died

    paths = sorted(row["path"] for row in rows)
    assert paths == sorted(str(path) for path in photos.rglob("*.png"))
    (failed,) = (row for row in rows if row["error"])
    assert failed["path"].endswith("torn.png")
    assert (failed["kind"], failed["output"]) == ("InputError", None)
    written = {path.relative_to(out): _pixels(path) for path in out.rglob("*.*")}
    assert len(written) == _COUNT
    assert sorted(row["output"] for row in rows if not row["error"]) == sorted(map(str, out.rglob("*.png")))
    with edgefill.load("smooth") as completer:
        for name, pixels in written.items():
            np.testing.assert_array_equal(pixels, np.asarray(completer.complete(photos / name).image))

    with pytest.raises(OutputError, match="skip_existing"):
        edgefill.ray.complete(photos, out, **asked)
    again = edgefill.ray.complete(photos, out, skip_existing=True, **asked)
    assert [row["path"] for row in again.iter_rows()] == [failed["path"]]


def test_rows_of_a_dataset_with_masks_of_their_own_come_back_completed(cluster, photos, tmp_path):
    import ray.data

    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = 255
    encoded = io.BytesIO()
    Image.fromarray(mask).save(encoded, "png")
    contents = [(photos / name).read_bytes() for name in ("0.png", "2.png", "torn.png")]
    items = [{"bytes": content, "name": f"{number}.png", "mask": encoded.getvalue()}
             for number, content in enumerate(contents)]  # fmt: skip
    rows = {
        row["path"]: row
        for row in edgefill.ray.complete(ray.data.from_items(items), model="smooth").iter_rows()
    }
    assert sorted(rows) == ["0.png", "1.png", "2.png"]
    assert rows["2.png"]["kind"] == "InputError"
    for content, name in zip(contents, ("0.png", "1.png"), strict=False):
        before, after = _pixels(content), _pixels(rows[name]["completed"])
        np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
        assert not np.array_equal(after, before)

    decoded = ray.data.read_images(str(photos / "a"), include_paths=True)
    rows = edgefill.ray.complete(decoded, tmp_path / "out", model="smooth").take_all()
    assert sorted(row["path"] for row in rows) == sorted(map(str, (photos / "a").iterdir()))
    assert all(_pixels(Path(row["output"])).shape == (8, 8) for row in rows)


def test_what_cannot_be_asked_is_refused_before_anything_runs(photos, tmp_path):
    (photos / "0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="both be written"):
        edgefill.ray.complete(photos, tmp_path / "out")
    (photos / "0.jpg").unlink()
    (tmp_path / "none").mkdir()
    for pictures, expected in (([], "empty"), (tmp_path / "none", "no picture"), ("xyz://a", "URI")):
        with pytest.raises(InputError, match=expected):
            edgefill.ray.complete(pictures, tmp_path / "out")
    with pytest.raises(InputError, match="give it as masks"):
        edgefill.ray.complete(photos, request=edgefill.Request(str(photos)))


def test_masks_lie_in_the_same_subfolder_or_at_the_top(photos, tmp_path):
    masks = tmp_path / "masks"
    for name in ("a/1.png", "3.png", "0.bmp"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        (masks / name).write_bytes(b"")
    inputs = find_inputs([Place.named(str(photos))], None)
    found = {
        each.name: Path(each.mask).relative_to(masks) for each in with_masks(inputs, Place.named(str(masks)))
    }
    assert [str(found[name]) for name in ("a/1.png", "a/3.png", "0.png")] == ["a/1.png", "3.png", "0.bmp"]
    (masks / "0.png").write_bytes(b"")
    with pytest.raises(InputError, match="leave only one"):
        with_masks(inputs, Place.named(str(masks)))


def test_outputs_below_the_pictures_are_no_pictures(photos):
    (photos / "out").mkdir()
    (photos / "out" / "0.png").write_bytes(b"")
    found = find_inputs([Place.named(str(photos))], Place.named(str(photos / "out")))
    assert len(found) == _COUNT + 1
