"""The bundled model: small, documented, buildable, and good at faces it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefill
from benchmarks.metrics import psnr, ssim
from edgefill import models
from edgefill.blending import harmonic_fill
from edgefill.bundle import Bundle
from edgefill.completion import Request, SearchSettings
from edgefill.completion.arrays import pixel_task
from edgefill.completion.backends.onnx_runtime import OnnxRuntimeBackend
from edgefill.completion.latents import Prior
from edgefill.completion.search import SearchState
from edgefill.images import find_pictures, from_unit, read_picture, to_unit


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(models.find("faces64"))


def test_it_is_small_and_says_where_it_comes_from(bundle):
    (entry,) = (entry for entry in models.catalogue() if entry.name == "faces64")
    assert entry.source == "bundled"
    assert entry.bytes <= 20e6
    assert bundle.manifest.picture_shape == (1, 64, 64)
    assert "LFW" in bundle.manifest.licence
    assert "edgefill train" in Path(str(entry.path).replace(".edgefill", ".md")).read_text()


def test_two_seeds_are_two_faces():
    with edgefill.load("faces64") as completer:
        rng = np.random.default_rng(0)
        pictures = completer.backend.generate(rng.uniform(-1, 1, (16, 100)).astype(np.float32))
    differences = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    assert differences[~np.eye(16, dtype=bool)].min() > 0.05
    assert np.abs(pictures).max() <= 1


def test_held_out_faces_are_completed_better_than_by_smoothing(faces):
    """Twelve pictures, centre hole: G(z) in the hole, against the smoothest way to fill it."""
    paths = find_pictures([faces / "test"])[:12]
    scores = []
    with edgefill.load("faces64") as completer:
        for path, result in zip(paths, completer.complete_many(paths, Request(mask="center")), strict=True):
            original, known = to_unit(read_picture(path).values), result.photograph.known
            assert known.sum() == 64 * 64 - 32 * 32
            ours, smooth = result.generated.transpose(1, 2, 0), harmonic_fill(original, known)
            scores.append(
                [score(original, fill, ~known) for score in (psnr, ssim) for fill in (ours, smooth)]
            )
    psnr_ours, psnr_smooth, ssim_ours, ssim_smooth = np.mean(scores, axis=0)
    assert psnr_ours > max(18.5, psnr_smooth)
    assert ssim_ours > ssim_smooth


def test_in_fp16_its_search_ends_where_it_does_in_fp32(bundle):
    """200 steps of each in ONNX Runtime: the loss within 2 %, the pictures 40 dB alike at the same z."""
    rng = np.random.default_rng(0)
    latents = rng.uniform(-1, 1, (2, 100)).astype(np.float32)
    faces = OnnxRuntimeBackend(bundle).generate(latents) + rng.normal(0, 0.2, (2, 1, 64, 64))
    pictures = from_unit(faces).transpose(0, 2, 3, 1)  # as far from what G can draw as photographs are
    known = np.ones((2, 64, 64), bool)
    known[:, 16:48, 16:48] = False
    settings = SearchSettings(steps=200)
    losses, drawn = [], []
    for precision in bundle.precisions:
        backend = OnnxRuntimeBackend(bundle, precision=precision)
        task = pixel_task(pictures, known, bundle.manifest, settings)
        state = SearchState.start(task, settings, [0, 1], Prior.of(bundle.manifest))
        backend.solve(state, 200)
        losses.append(state.best_loss)
        drawn.append(backend.generate(latents))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert psnr(*drawn) >= 40
