from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edgefill.cli.sample import parse_arithmetic, parse_seeds
from edgefill.completion import load
from edgefill.errors import InputError
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.latents import Prior
from edgefill.model.bundle import Bundle
from edgefill.pictures.sheets import pictures_of
from edgefill.runtimes.onnx_runtime import OnnxRuntime


def g_of(model, seeds: list[int]) -> list[np.ndarray]:
    prior = Prior.of(Bundle.open(model).manifest)
    with load(model, threads=1) as completer:
        return [
            np.asarray(picture) for picture in pictures_of(generate(completer.backend, prior.latents(seeds)))
        ]


def test_a_sheet_shows_the_seeds_from_the_first_on(edgefill, model, tmp_path):
    done = edgefill(
        "sample", "--model", model, "--count", 4, "--seed", 3, "--out", tmp_path / "s.png", "--json"
    )
    assert done.code == 0 and json.loads(done.out)["pictures"] == 4
    assert "licence of the model: CC0" in done.err and f"wrote {tmp_path / 's.png'}" in done.err
    page = np.asarray(Image.open(tmp_path / "s.png").convert("L"))
    third = g_of(model, [5])[0]
    np.testing.assert_array_equal(page[16:24, 4:12], third)  # 2 × 2 cells of 8 pixels, 4 between


def test_a_walk_begins_and_ends_at_its_seeds(edgefill, model, tmp_path):
    edgefill("sample", "--model", model, "--interpolate", "7,42", "--frames", 5, "--out", tmp_path / "w.png")
    page = np.asarray(Image.open(tmp_path / "w.png").convert("L"))
    assert page.shape == (8, 40)
    first, last = g_of(model, [7, 42])
    np.testing.assert_array_equal(page[:, :8], first)
    np.testing.assert_array_equal(page[:, -8:], last)


def test_a_walk_is_an_animation_where_the_name_says_so(edgefill, model, tmp_path):
    edgefill("sample", "--model", model, "--interpolate", "7,42", "--frames", 6, "--out", tmp_path / "w.gif")
    with Image.open(tmp_path / "w.gif") as gif:
        assert gif.format == "GIF" and gif.n_frames == 6


def test_arithmetic_shows_its_terms_and_their_sum(edgefill, model, tmp_path):
    edgefill("sample", "--model", model, "--arithmetic", "3-5+9", "--out", tmp_path / "a.png")
    page = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    np.testing.assert_array_equal(page[4:12, 16:24], g_of(model, [5])[0])
    prior = Prior.of(Bundle.open(model).manifest)
    with load(model, threads=1) as completer:
        total = pictures_of(generate(completer.backend, prior.total([(1, 3), (-1, 5), (1, 9)])[None]))[0]
    np.testing.assert_array_equal(page[4:12, 40:48], total)


def test_formulas_are_read_strictly():
    assert parse_arithmetic(" 3 - 5 + 9 ") == [(1, 3), (-1, 5), (1, 9)]
    assert parse_arithmetic("-12") == [(-1, 12)]
    assert parse_seeds("7, 42,9") == [7, 42, 9]
    for text in ("", "3--5", "3*5", "a", "3-", "1.5"):
        with pytest.raises(InputError, match="3-5\\+9"):
            parse_arithmetic(text)
    for text in ("7", "7,", "7,x", "-7,4"):
        with pytest.raises(InputError, match="7,42"):
            parse_seeds(text)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--interpolate", "7,42", "--arithmetic", "3+5", "--out", "x.png"), 3, "one of"),
        (("--out", "x.gif"), 3, "--interpolate"),
        (("--out", "x.xcf"), 3, "'xcf'"),
        (("--out", "x"), 3, "one of png"),
        (("--count", "0", "--out", "x.png"), 2, "--count"),
    ],
)
def test_what_cannot_be_drawn_is_refused(edgefill, model, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    done = edgefill("sample", "--model", model, *options)
    assert done.code == code and words in done.err, done.err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(edgefill, model, tmp_path):
    (tmp_path / "s.png").write_bytes(b"mine")
    assert edgefill("sample", "--model", model, "--count", 1, "--out", tmp_path / "s.png").code == 6
    assert (tmp_path / "s.png").read_bytes() == b"mine"
    assert (
        edgefill("sample", "--model", model, "--count", 1, "--out", tmp_path / "s.png", "--force").code == 0
    )


def test_a_model_that_draws_no_numbers_is_named_and_no_black_sheet_is_written(
    edgefill, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        OnnxRuntime, "run", lambda *_: {"generated": np.full((2, 1, 8, 8), np.nan, np.float32)}
    )
    done = edgefill("sample", "--model", model, "--count", 2, "--out", tmp_path / "s.png")
    assert done.code == 4 and "the model tiny has drawn NaN or Inf for picture 0" in done.err
    assert list(tmp_path.iterdir()) == []
