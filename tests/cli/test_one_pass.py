"""A network of one pass from pictures to completed pictures, by the commands alone."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from edgefill.model.bundle import Bundle, annotate
from edgefill.model.manifest import Alignment
from tests.bundles import tiny_one_pass

TINY = (
    "--model", "glcic", "--size", 32, "--filters", 2, "--batch", 4, "--completion-steps", 3,
    "--discriminator-steps", 1, "--joint-steps", 2, "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def one_pass(tmp_path):
    path = tmp_path / "pass.edgefill"
    path.write_bytes(tiny_one_pass())
    return path


def test_train_export_and_complete(edgefill, pictures, tmp_path):
    run, model, out = tmp_path / "run", tmp_path / "mine.edgefill", tmp_path / "out"
    trained = edgefill("train", pictures, "--out", run, *TINY, "--json")
    assert trained.code == 0, trained.err
    document = json.loads(trained.out)
    assert (document["kind"], document["steps"]) == ("glcic", 6)
    resumed = edgefill("train", pictures, "--out", run, "--model", "glcic", "--resume", "--joint-steps", 4)
    assert resumed.code == 0, resumed.err
    exported = edgefill("export", run, "--out", model, "--weights", "fp16", "--json")
    assert exported.code == 0, exported.err
    manifest = json.loads(exported.out)
    assert manifest["family"] == "glcic" and "edgefill complete PICTURE" in exported.err
    assert manifest["interface"]["reach"] == 156
    done = edgefill("complete", pictures, "--model", model, "--out", out, "--strip", "--sheet", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert len(document["results"]) == 9 and document["settings"] == {}
    for result in document["results"]:
        assert result["ended"] == "pass" and "loss" not in result and "steps" not in result
    assert len(list(out.glob("*.png"))) == 19


def test_a_resumed_run_of_another_kind_is_refused(edgefill, pictures, tmp_path):
    run = tmp_path / "run"
    assert edgefill("train", pictures, "--out", run, *TINY).code == 0
    refused = edgefill("train", pictures, "--out", run, "--resume")
    assert refused.code == 4 and "of the kind 'glcic', expected 'dcgan'" in refused.err


@pytest.mark.parametrize(
    "options",
    [("--steps", 3), ("--preset", "reference"), ("--until", "ms:5"), ("--candidates", 2), ("--trace",)],
)
def test_options_of_a_search_are_refused(edgefill, one_pass, pictures, tmp_path, options):
    refused = edgefill("complete", pictures, "--model", one_pass, "--out", tmp_path / "out", *options)
    assert refused.code == 3 and "completes in one pass" in refused.err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_int8_and_a_pipeline_by_the_commands_alone(edgefill, pictures, tmp_path):
    run, model, file = tmp_path / "run", tmp_path / "int8.edgefill", tmp_path / "whole.onnx"
    assert edgefill("train", pictures, "--out", run, *TINY).code == 0
    bare = edgefill("export", run, "--out", model, "--precision", "int8")
    assert bare.code == 3 and "--calibration FOLDER" in bare.err
    exported = edgefill(
        "export", run, "--out", model, "--precision", "int8", "--calibration", pictures, "--json"
    )
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["precision"] == "int8"
    assert edgefill("complete", pictures, "--model", model, "--out", tmp_path / "out").code == 0
    whole = edgefill("export", model, "--pipeline", "--out", file)
    assert whole.code == 0 and "of 255 levels" in whole.err, whole.err
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    picture = np.asarray(Image.open(pictures / "0.png"))[:, :, None]
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 10:30] = 255
    (completed,) = session.run(["completed"], {"picture": picture, "mask": mask})
    np.testing.assert_array_equal(completed[mask == 0], picture[mask == 0])
    assert (completed != picture).any()


@pytest.mark.parametrize(
    ("source", "options", "code", "said"),
    [
        ("faces64", ("--pipeline", "--out", "x.onnx"), 4, "it searches"),
        ("one_pass", ("--pipeline", "--out", "x.onnx", "--precision", "fp16"), 3, "is an exported model"),
        ("one_pass", ("--pipeline", "--out", "x.bin"), 6, "ends in .onnx"),
        ("one_pass", ("--out", "x.edgefill"), 3, "exported already; say what to make of it"),
        ("one_pass", ("--out", "x.edgefill", "--precision", "fp16", "--licence", "CC0"), 3, "--licence stay"),
        ("faces64", ("--out", "x.edgefill", "--precision", "int8"), 3, "int8 is for models of one pass"),
        (".", ("--out", "x.edgefill"), 4, "holds no training"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    edgefill, one_pass, tmp_path, monkeypatch, source, options, code, said
):
    monkeypatch.chdir(tmp_path)
    refused = edgefill("export", one_pass if source == "one_pass" else source, *options)
    assert refused.code == code and said in refused.err
    assert not list(tmp_path.glob("x.*"))


def test_engines_are_built_for_every_size_at_once(edgefill, one_pass, tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    built = edgefill("build", one_pass, "--for", "rtx", "--sm", 86, "--json")
    assert built.code == 0, built.err
    (engine,) = json.loads(built.out)["engines"]
    assert (engine["graph"], engine["complaints"]) == ("completion", []) and engine["size"] > 10_000


def test_drawing_samples_needs_a_latent(edgefill, one_pass, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = edgefill("sample", "--out", "x.png", "--model", one_pass)
    assert refused.code == 4 and "it completes in one pass" in refused.err


def test_the_bench_measures_passes(edgefill, one_pass):
    brief = ("--batch", "1,3", "--seconds", 0.01, "--iterations", 2, "--warm-up", 0, "--backend", "cpu")
    done = edgefill("bench", "--model", one_pass, *brief, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["settings"] is None and [each["batch"] for each in document["figures"]] == [1, 3]
    for each in document["figures"]:
        assert each["step_ms"]["median"] > 0 and each["picture_difference"] == 0.0
        assert each["steps_per_picture"] is None and each["pictures_per_second"] > 0
    shown = edgefill("bench", "--model", one_pass, *brief)
    assert "a picture takes one pass" in shown.out and "pass, median ms" in shown.out
    assert "step" not in shown.out
    refused = edgefill("bench", "--model", one_pass, *brief, "--steps", 5)
    assert refused.code == 4 and "it completes in one pass" in refused.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "glcic", "--epochs", 3), "--epochs does not belong to the training of a glcic"),
        (("--alpha", 0.1), "--alpha does not belong to the training of a dcgan"),
        (
            ("--model", "vae"),
            "expected dcgan or glcic or unet or context-encoder or gated",
        ),
        (("--model", "glcic", "--stage", "encoder"), "--model"),
    ],
)
def test_an_option_of_another_training_is_refused(edgefill, pictures, tmp_path, options, said):
    refused = edgefill("train", pictures, "--out", tmp_path / "run", *options)
    assert refused.code == 3 and said in refused.err


def test_faces_are_aligned_where_their_eyes_are_and_it_says_so(edgefill, pictures, one_pass, tmp_path):
    line = ("complete", pictures / "0.png", "--model", one_pass, "--out", tmp_path / "out", "--json")
    refused = edgefill(*line, "--eyes", "6,6,16,7")
    assert refused.code == 3 and "does not say where it expects the eyes" in refused.err
    annotate(one_pass, alignment=Alignment((0.26, 0.24, 0.77, 0.24)))
    done = edgefill(*line, "--eyes", "6,6,16,7", "--strip")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["results"][0]["eyes"] == [[6, 6, 16, 7]]
    assert document["align"] is True and document["eyes"] == [6, 6, 16, 7]
    for wrong, code in ((("--eyes", "1,2,3"), 3), (("--align", "--box", "0,0,9,9"), 3)):
        assert edgefill(*line, "--force", *wrong).code == code


def test_what_a_model_says_of_faces_stays_in_another_precision(edgefill, tmp_path):
    here, there = tmp_path / "here.edgefill", tmp_path / "there.edgefill"
    here.write_bytes(tiny_one_pass())
    alignment = Alignment((0.26, 0.24, 0.77, 0.24))
    annotate(here, alignment=alignment)
    again = ("export", here, "--precision", "both", "--out", there, "--force")
    assert edgefill(*again).code == 0
    assert Bundle.open(there).manifest.alignment == alignment
    done = edgefill(*again, "--usual-misfit", 0.5)
    assert done.code == 0, done.err
    manifest = Bundle.open(there).manifest
    assert (manifest.alignment, manifest.usual_misfit) == (alignment, 0.5)
