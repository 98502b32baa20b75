from __future__ import annotations

import json
import sys

import pytest
from PIL import Image

from edgefill.extras import install_line

QUICK = ("--batch", "1,3", "--steps", 4, "--warm-up", 0, "--seconds", 0.001, "--iterations", 3)
SPREAD = {"median": float, "p90": float, "p99": float, "samples": int}
FIGURES = {
    "batch": int, "step_ms": SPREAD, "enqueue_ms": SPREAD, "copies_ms": float, "completion_ms": SPREAD,
    "picture_ms": float, "pictures_per_second": float, "steps_per_picture": float, "build_seconds": float,
    "load_seconds": float, "first_run_seconds": float, "memory_bytes": int, "plan_bytes": int,
    "picture_joules": (float, None), "clock_mhz": (int, None), "loss_difference": float,
    "gradient_difference": float,
    "picture_difference": (float,),
}  # fmt: skip
SCHEMA = {
    "format": int, "edgefill": str, "model": str, "model_sha256": str,
    "backend": {
        "name": str, "runtime": str, "device": str, "steps_at_once": int, "loops": bool, "precision": str,
    },
    "precision": str, "settings": dict,
    "rule": {"warm_up": float, "seconds": float, "iterations": int, "longest": (float, None)},
    "energy": (str, None), "environment": dict, "figures": [FIGURES], "graph": bool,
}  # fmt: skip


def assert_fits(value, schema, where="document"):
    """``value`` has the keys and types of ``schema``, and no others."""
    if isinstance(schema, dict):
        assert value.keys() == schema.keys(), where
        for key, inner in schema.items():
            assert_fits(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        for item in value:
            assert_fits(item, schema[0], f"{where}[]")
    elif isinstance(schema, tuple):
        assert value is None or isinstance(value, schema[0]), where
    else:
        assert type(value) is schema, where


def test_json_is_one_document_of_a_fixed_form(edgefill, model):
    done = edgefill("bench", "--model", model, *QUICK, "--threads", 1, "--json")
    document = json.loads(done.out)
    assert_fits(document, SCHEMA)
    assert done.code == 0 and done.err == ""
    assert [row["batch"] for row in document["figures"]] == [1, 3]
    assert document["settings"]["steps"] == 4 and document["settings"]["solver"] == "adam"
    assert document["rule"] == {"warm_up": 0.0, "seconds": 0.001, "iterations": 3, "longest": None}
    assert document["backend"]["name"] == "cpu" and document["graph"] is False
    assert "commit" in document["environment"] and "onnxruntime" in document["environment"]["packages"]
    for row in document["figures"]:
        assert row["step_ms"]["samples"] >= 3 and row["steps_per_picture"] == 4
        assert row["loss_difference"] == row["gradient_difference"] == 0  # the reference is what runs


def test_people_get_a_table_with_what_ran_and_where(edgefill, model):
    done = edgefill("bench", "--model", model, *QUICK, "--solver", "momentum")
    assert done.code == 0 and "batch 3" in done.out and "pictures per second" in done.out
    assert done.out.startswith("tiny on cpu (ONNX Runtime") and "momentum, 4 steps" in done.out
    assert "commit" in done.out.splitlines()[-1]


def test_a_stop_rule_is_stated_and_used(edgefill, model):
    done = edgefill("bench", "--model", model, *QUICK, "--until", "loss:1e9", "--json")
    document = json.loads(done.out)
    assert document["settings"]["goal"] == 1e9
    assert [row["steps_per_picture"] for row in document["figures"]] == [1, 1]


def test_chart_is_written_beside_the_table(edgefill, model, tmp_path):
    chart = tmp_path / "new" / "bench.png"
    assert edgefill("bench", "--model", model, *QUICK, "--plot", chart).code == 0
    with Image.open(chart) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--plot", "there.png"), 6, "--force"),
        (("--plot", "chart.jpg"), 6, "expected"),
        (("--batch", "1,x"), 3, "such as 1,8,64"),
        (("--batch", "0"), 3, "such as 1,8,64"),
        (("--until", "tired"), 3, "converged"),
        (("--backend", "abacus"), 5, "expected one of"),
        (("--precision", "fp16"), 4, "not in fp16"),
        (("--seconds", "0"), 2, "--seconds"),
        (("--model", "nobody"), 4, "nobody"),
    ],
)
def test_what_cannot_be_measured_is_refused(edgefill, model, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.png").write_bytes(b"mine")
    done = edgefill("bench", "--model", model, *QUICK, *options)
    assert done.code == code and words in done.err, done.err
    assert done.out == "" and [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_without_matplotlib_the_line_that_installs_it_is_said_before_anything_runs(
    edgefill, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = edgefill("bench", "--model", "nobody", "--plot", tmp_path / "chart.png")
    assert done.code == 5 and install_line("plot") in done.err


def test_an_existing_chart_is_replaced_where_that_is_asked_for(edgefill, model, tmp_path):
    chart = tmp_path / "chart.svg"
    chart.write_text("old")
    assert edgefill("bench", "--model", model, *QUICK, "--plot", chart, "--force").code == 0
    assert "<svg" in chart.read_text()
