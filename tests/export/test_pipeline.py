"""A pipeline in one ONNX file: from a picture and a mask of any size to the finished picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from edgefill.completion import Completer
from edgefill.errors import ModelError, OutputError
from edgefill.export import export_completion, import_network, pipeline
from edgefill.export.pipeline import export_pipeline
from edgefill.model.bundle import Bundle
from edgefill.runtimes import open_backend
from tests.bundles import tiny_bundle, tiny_one_pass
from tests.export.importing.zoo import CONVENTIONS, crops_by_its_mask, network


class Mean(nn.Module):
    """Fills with the mean of what is known."""

    def forward(self, picture, known):
        total = (picture * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp_min(1)
        return torch.where(known > 0, picture, total)


class Pipeline:
    """An exported pipeline, run by ONNX Runtime alone."""

    def __init__(self, bundle: Bundle, path: Path) -> None:
        self.path = path
        _, self.said = export_pipeline(bundle, path)
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
        (completed,) = self.session.run(["completed"], {"picture": picture, "mask": mask})
        return completed


@pytest.fixture(scope="module")
def averages(tmp_path_factory) -> Pipeline:
    folder = tmp_path_factory.mktemp("averages")
    export_completion(Mean(), folder / "mean.edgefill", channels=3, size=64)
    return Pipeline(Bundle.open(folder / "mean.edgefill"), folder / "mean.onnx")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


SIZES = [(1, 1), (1, 90), (7, 5), (64, 64), (131, 77), (50, 300), (700, 900)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("hole", ["none", "all", "middle", "corner", "two"])
def test_what_the_mask_leaves_is_kept_bit_for_bit(averages, size, hole):
    height, width = size
    source, mask = picture(*size), np.zeros(size, np.uint8)
    if hole == "all":
        mask[:] = 255
    elif hole == "middle":
        mask[height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = 255
    elif hole == "corner":
        mask[: height // 2 + 1, width // 2 :] = 128
    elif hole == "two":
        mask[0, 0] = mask[-1, -1] = 255
    done = averages(source, mask)
    assert done.shape == source.shape and done.dtype == np.uint8
    np.testing.assert_array_equal(done[mask < 128], source[mask < 128])


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_flat_is_continued_at_any_size(averages, size, share):
    height, width = size
    flat, mask = np.full((*size, 3), (90, 30, 200), np.uint8), np.zeros(size, np.uint8)
    mask[: math.ceil(share * height), int((1 - share) * width) :] = 255
    assert mask.any() and not mask.all()
    assert np.abs(averages(flat, mask).astype(int) - flat).max() <= 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Bundle, Pipeline]:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.edgefill").write_bytes(tiny_one_pass())
    bundle = Bundle.open(folder / "tiny.edgefill")
    return bundle, Pipeline(bundle, folder / "tiny.onnx")


@pytest.mark.parametrize("size", [(64, 64), (40, 50), (300, 200), (131, 77)])
@pytest.mark.parametrize("hole", [(0.3, 0.3, 0.3), (0.0, 0.6, 0.4), (0.1, 0.1, 0.8)])
def test_a_pipeline_does_what_complete_does(tiny, tmp_path, size, hole):
    """Where one frame shows all that is missing, and no part of that is as thin as a stroke."""
    bundle, pipeline = tiny
    source, mask = picture(*size)[:, :, :1], np.zeros(size, np.uint8)
    top, left, extent = (int(share * side) for share, side in zip(hole, (*size, min(size)), strict=True))
    mask[top : top + extent, left : left + extent] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    piped = pipeline(source, mask)[:, :, 0].astype(int)
    with Completer(bundle.manifest, open_backend("cpu", bundle)) as completer:
        done = completer.complete(source[:, :, 0], str(tmp_path / "mask.png"))
    assert np.abs(piped - done.picture.values[:, :, 0]).max() <= 1


def test_a_scratch_across_a_large_picture_is_filled_from_what_is_beside_it(averages):
    rows, columns = np.mgrid[:700, :900] / 100
    waves = np.uint8(127 + 60 * np.sin(rows) + 60 * np.sin(columns))[:, :, None].repeat(3, 2)
    mask = np.zeros((700, 900), np.uint8)
    mask[300:303, 50:850] = 255
    assert np.abs(averages(waves, mask).astype(int) - waves).max() <= 8


def test_the_seam_is_smooth_where_the_network_is_off(tmp_path):
    class Dark(Mean):
        def forward(self, picture, known):
            return super().forward(picture, known) - 0.3

    export_completion(Dark(), tmp_path / "dark.edgefill", channels=1, size=64)
    pipeline = Pipeline(Bundle.open(tmp_path / "dark.edgefill"), tmp_path / "dark.onnx")
    flat, mask = np.full((64, 64, 1), 150, np.uint8), np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    assert np.abs(pipeline(flat, mask).astype(int) - 150).max() <= 1, "by how much it is off is known around"


def test_a_large_hole_is_filled_as_in_the_small_picture(averages):
    """Waves that both sizes show: what is drawn is scaled back to where it belongs."""
    rows, columns = np.mgrid[:64, :64] / 64
    small = np.uint8(127 + 100 * np.sin(3 * rows + 5 * columns)[:, :, None].repeat(3, 2))
    large = small.repeat(5, 0).repeat(5, 1)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 20:60] = 255
    done, wide = averages(small, mask), averages(large, mask.repeat(5, 0).repeat(5, 1))
    shrunk = wide.reshape(64, 5, 64, 5, 3).mean((1, 3))
    assert np.abs(shrunk - done)[mask > 0].mean() < 3


def test_the_same_model_gives_the_same_bytes(tiny, tmp_path):
    bundle, pipeline = tiny
    export_pipeline(bundle, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == pipeline.path.read_bytes()


def test_a_mask_of_0_and_1_is_one_of_0_and_255(averages):
    values, mask = picture(33, 20), np.zeros((33, 20), np.uint8)
    assert np.array_equal(averages(values, mask), values)
    mask[4:9, 3:17] = 1
    assert np.array_equal(averages(values, mask), averages(values, 255 * mask))
    mask[0, 0] = 127
    assert np.array_equal(averages(values, mask), values), "1 is black where there are greys"


def test_its_metadata_say_what_it_takes(averages):
    assert averages.session.get_inputs()[0].name == "picture", "whose channels the examples look at"
    said = averages.session.get_modelmeta().custom_metadata_map
    assert said["edgefill.picture"].startswith("uint8 [H, W, 3], RGB")
    assert "0 and 1" in said["edgefill.mask"] and "kept" in said["edgefill.completed"]


def test_what_is_no_pipeline_is_refused(tmp_path):
    (tmp_path / "dcgan.edgefill").write_bytes(tiny_bundle())
    with pytest.raises(ModelError, match="it searches"):
        export_pipeline(Bundle.open(tmp_path / "dcgan.edgefill"), tmp_path / "x.onnx")
    (tmp_path / "pass.edgefill").write_bytes(tiny_one_pass())
    with pytest.raises(OutputError, match=r"ends in \.onnx"):
        export_pipeline(Bundle.open(tmp_path / "pass.edgefill"), tmp_path / "x.edgefill")


def test_a_packaging_whose_shapes_depend_on_the_mask_is_refused_before_anything_is_traced(
    tmp_path, monkeypatch
):
    onnx.save(crops_by_its_mask(network(CONVENTIONS["Qualcomm's LaMa"])), tmp_path / "it.onnx")
    import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill")
    monkeypatch.setattr(pipeline, "_joined", None)
    with pytest.raises(
        ModelError, match=r"cannot make a pipeline of it: .*NonZero.*import it without --whole"
    ):
        export_pipeline(Bundle.open(tmp_path / "it.edgefill"), tmp_path / "whole.onnx")
    assert not (tmp_path / "whole.onnx").exists()
