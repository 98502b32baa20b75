"""The bundled models: small, documented, and good at pictures they have not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefill
from benchmarks.metrics import psnr, ssim
from edgefill.completion import Request, SearchSettings
from edgefill.holes.blending import harmonic_fill
from edgefill.holes.scaling import scale
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_task
from edgefill.methods.latent.search import SearchState
from edgefill.model import catalogue
from edgefill.model.bundle import Bundle
from edgefill.pictures.images import find_pictures, from_unit, read_picture, to_unit
from edgefill.runtimes.onnx_runtime import OnnxRuntime


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(catalogue.find("faces64"))


@pytest.mark.parametrize(
    ("name", "shape", "licence"),
    [("faces64", (1, 64, 64), "research use only"), ("hands64", (3, 64, 64), "Apache-2.0")],
)
def test_it_is_small_and_says_where_it_comes_from(name, shape, licence):
    (entry,) = (entry for entry in catalogue.catalogue() if entry.name == name)
    assert entry.source == "bundled" and entry.bytes <= 20e6 and entry.precisions == ("fp32", "fp16")
    assert entry.manifest.picture_shape == shape and entry.manifest.has_encoder
    assert entry.manifest.licence.startswith(licence)
    card = Path(str(entry.path).replace(catalogue.SUFFIX, ".md")).read_text()
    assert "edgefill train" in card and "--stage encoder" in card and f"# {name}" in card


def test_the_model_of_one_pass_is_small_and_says_where_it_comes_from():
    (entry,) = (entry for entry in catalogue.catalogue() if entry.name == "faces64-glcic")
    assert entry.source == "bundled" and entry.bytes <= 10e6 and entry.precisions == ("fp32", "fp16")
    assert (entry.manifest.family, entry.manifest.picture_shape) == ("glcic", (1, 64, 64))
    assert entry.manifest.licence.startswith("research use only")
    card = Path(str(entry.path).replace(catalogue.SUFFIX, ".md")).read_text()
    assert "edgefill train" in card and "--model glcic" in card and "# faces64-glcic" in card


def test_the_model_of_photographs_is_small_and_says_where_it_comes_from():
    (entry,) = (entry for entry in catalogue.catalogue() if entry.name == "photos")
    assert entry.source == "bundled" and entry.bytes <= 6e6 and entry.precisions == ("fp32",)
    assert (entry.manifest.family, entry.manifest.picture_shape) == ("unet", (3, 224, 224))
    assert entry.manifest.licence.startswith("MIT") and entry.manifest.passed.sizes.multiple == 32
    card = Path(str(entry.path).replace(catalogue.SUFFIX, ".md")).read_text()
    assert "edgefill train" in card and "--model unet" in card and "# photos" in card and "CC BY" in card


def test_held_out_photographs_are_completed_better_than_by_smoothing(photos):
    """Blobs, by as much as half a decibel on all of them; and what is known stays."""
    paths, scores = find_pictures([photos / "test"])[::16], []
    with edgefill.load("photos") as completer:
        for path in paths:
            mask = photos / "masks" / "test" / "blobs" / f"{path.stem}.png"
            original, result = read_picture(path).values, completer.complete(path, str(mask))
            known = result.photograph.known
            assert (result.picture.values[known] == original[known]).all()
            fills = to_unit(result.picture.values), harmonic_fill(to_unit(original), known)
            scores.append([psnr(to_unit(original), fill, ~known) for fill in fills])
    ours, smooth = np.mean(scores, axis=0)
    assert ours > smooth + 0.2


def test_in_one_pass_held_out_faces_are_completed_better_than_by_a_search(faces):
    paths = find_pictures([faces / "test"])[:24]
    ours, _ = scores_of("faces64-glcic", paths)
    searched, _ = scores_of("faces64", paths)
    assert ours[0] > searched[0] + 0.5 and ours[1] > searched[1] + 0.05


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_in_one_pass_both_precisions_draw_the_same(precision, faces):
    pictures = np.stack([read_picture(path).values for path in find_pictures([faces / "test"])[:8]])
    known = np.ones((8, 64, 64), bool)
    known[:, 16:48, 16:48] = False
    with edgefill.load("faces64-glcic", precision=precision) as completer:
        filled = completer.fill(pictures, known)
    with edgefill.load("faces64-glcic") as completer:
        assert np.abs(filled.astype(int) - completer.fill(pictures, known)).max() <= 2


@pytest.mark.parametrize("name", ["faces64", "hands64"])
def test_two_seeds_are_two_pictures(name):
    with edgefill.load(name) as completer:
        rng = np.random.default_rng(0)
        pictures = generate(completer.backend, rng.uniform(-1, 1, (16, 100)).astype(np.float32))
    differences = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    assert differences[~np.eye(16, dtype=bool)].min() > 0.05
    assert np.abs(pictures).max() <= 1


def scores_of(name: str, paths: list[Path]) -> np.ndarray:
    """PSNR and SSIM in the centre hole of G(z) or of one pass, then of the smoothest filling; means."""
    scores = []
    with edgefill.load(name) as completer:
        for path, result in zip(paths, completer.complete_many(paths, Request(mask="center")), strict=True):
            original, known = to_unit(read_picture(path).values), result.photograph.known
            ours = to_unit(result.picture.values)
            if result.generated is not None:
                ours = scale(result.generated.transpose(1, 2, 0), original.shape[:2])
            fills = ours, harmonic_fill(original, known)
            scores.append([[score(original, fill, ~known) for score in (psnr, ssim)] for fill in fills])
    return np.mean(scores, axis=0)


def test_held_out_faces_are_completed_better_than_by_smoothing(faces):
    ours, smooth = scores_of("faces64", find_pictures([faces / "test"])[:12])
    assert ours[0] > smooth[0] + 1.5 and ours[1] > smooth[1] + 0.05


def test_held_out_hands_are_completed_no_worse_than_by_smoothing(hands):
    """Most of what is missing is plain ground, which the smooth filling has for nothing."""
    ours, smooth = scores_of("hands64", find_pictures([hands / "test"])[::16][:12])
    assert ours[0] > smooth[0]


def test_in_fp16_its_search_ends_where_it_does_in_fp32(bundle):
    """200 steps of each in ONNX Runtime: the loss within 2 %, the pictures 40 dB alike at the same z."""
    rng = np.random.default_rng(0)
    latents = rng.uniform(-1, 1, (2, 100)).astype(np.float32)
    faces = generate(OnnxRuntime(bundle), latents) + rng.normal(0, 0.2, (2, 1, 64, 64))
    pictures = from_unit(faces).transpose(0, 2, 3, 1)  # as far from what G can draw as photographs are
    known = np.ones((2, 64, 64), bool)
    known[:, 16:48, 16:48] = False
    settings = SearchSettings("adam", steps=200)
    losses, drawn = [], []
    for precision in bundle.precisions:
        runtime = OnnxRuntime(bundle, precision=precision)
        task = pixel_task(pictures, known, bundle.manifest, settings)
        state = SearchState.start(task, settings, [0, 1], Prior.of(bundle.manifest))
        runtime.solve(state, 200)
        losses.append(state.best_loss)
        drawn.append(generate(runtime, latents))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert psnr(*drawn) >= 40
