"""The whole way, as a user goes it: pictures, a training run, a model, completed pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import edgefill


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Forty grey discs on grey grounds."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:16, :16]
    for number in range(40):
        y, x = rng.uniform(5, 11, 2)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < rng.uniform(9, 25)
        ground, ink = rng.integers(0, 256, 2)
        Image.fromarray(np.where(disc, ink, ground).astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


def test_from_a_folder_of_pictures_to_completed_pictures(pictures, tmp_path, run_edgefill):
    run, model, out = tmp_path / "run", tmp_path / "discs.edgefill", tmp_path / "filled"
    run_edgefill("train", pictures, "--out", run, "--size", 16, "--filters", 4, "--epochs", 2, "--batch", 8)
    done = run_edgefill("export", run, "--out", model, "--weights", "fp16", "--licence", "CC0", "--json")
    manifest = json.loads(done.stdout)
    assert manifest["licence"] == "CC0"
    assert (
        "tracing the step in fp32\n" in done.stderr and "comparing the graphs with PyTorch\n" in done.stderr
    )
    assert manifest["proof"]["gradient"] <= 1e-4
    again = run_edgefill("export", run, "--out", model, check=False)
    assert again.returncode == 6
    assert "--force" in again.stderr

    options = ("--model", model, "--mask", "center", "--steps", 20, "--json")
    document = json.loads(run_edgefill("complete", pictures, "--out", out, *options).stdout)
    assert len(document["results"]) == 40
    assert document["failed"] == []
    before, after = (np.asarray(Image.open(folder / "07.png")) for folder in (pictures, out))
    assert not np.array_equal(before, after)
    before, after = before.copy(), after.copy()
    before[4:12, 4:12] = after[4:12, 4:12] = 0
    assert np.array_equal(before, after)

    sheet = tmp_path / "samples.png"
    run_edgefill("sample", "--model", model, "--count", 9, "--out", sheet)
    with Image.open(sheet) as image:
        assert image.width > 3 * 16

    result = edgefill.load(model).complete(pictures / "07.png", mask="center", settings=twenty_steps())
    assert np.array_equal(np.asarray(result.image), np.asarray(Image.open(out / "07.png")))


def twenty_steps():
    from edgefill.completion import search_settings

    return search_settings(steps=20)
