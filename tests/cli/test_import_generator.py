"""``edgefill import`` of a generator's weights, as a user runs it."""

from __future__ import annotations

import json

import onnx.parser
import pytest
import torch

from tests.export.weights.zoo import tutorial_d, tutorial_g


@pytest.fixture
def file(tmp_path):
    torch.save(tutorial_g().state_dict(), tmp_path / "g.pth")
    return tmp_path / "g.pth"


def test_a_dry_run_says_what_it_is_and_writes_nothing(tmp_path, file, run_edgefill):
    torch.save(tutorial_d().state_dict(), tmp_path / "d.pth")
    done = run_edgefill("import", file, "-d", tmp_path / "d.pth", "--prior", "uniform", "--dry-run", "--json")
    found = json.loads(done.stdout)["generator"]
    assert (found["z_dim"], found["prior"], found["discriminator"]) == (8, "uniform", True)
    assert "pictures of 16×16" in done.stderr and "nothing is written" in done.stderr
    assert "export" not in done.stderr and "gradient" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.pth", "g.pth"]


def test_an_onnx_file_that_takes_z_is_a_generator(tmp_path, edgefill):
    """One linear layer to pictures of 4×4, as text of ONNX."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 8] z) => (float[N, 1, 4, 4] picture)
    <float[8, 16] weight, int64[4] sizes = {1, 1, 4, 4}> {
        flat = MatMul (z, weight)
        drawn = Tanh (flat)
        picture = Reshape (drawn, sizes)
    }"""
    model = onnx.parser.parse_model(text.replace("weight,", f"weight = {{{', '.join(['0.1'] * 128)}}},"))
    onnx.save(model, tmp_path / "g.onnx")
    done = edgefill("import", tmp_path / "g.onnx", "--dry-run", "--json")
    found = json.loads(done.out)["generator"]
    assert (found["z_dim"], found["spatial_z"], found["discriminator"]) == (8, False, False)
    assert "pictures of 4×4" in done.err and "import with --prior" in done.err
    refused = edgefill("import", tmp_path / "g.onnx", "--dry-run", "--whole")
    assert refused.code == 3 and "g.onnx is a generator, which takes no picture; found --whole" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask-means", "hole", "--whole"], "found --whole and --mask-means, of completion networks"),
        (["--output-range", "imagenet"], "expected -1..1, 0..1, 0..255 for what a generator draws"),
    ],
)
def test_options_of_other_networks_are_refused(tmp_path, file, edgefill, options, words):
    done = edgefill("import", file, "--out", tmp_path / "it.edgefill", *options)
    assert done.code == 3 and words in done.err
    assert not (tmp_path / "it.edgefill").exists()
