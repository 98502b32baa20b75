"""edgefill build, for real where TensorRT for RTX is installed."""

from __future__ import annotations

import json
import signal
import sys
from importlib.util import find_spec

import onnx
import pytest

from edgefill import machine
from edgefill.extras import install_line
from tests.export.importing.zoo import CONVENTIONS, network
from tests.fakes.libcuda import FakeCuda
from tests.fakes.tensorrt import FakeTensorRT


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """The driver of an RTX 3090."""
    driver = FakeCuda([("NVIDIA GeForce RTX 3090", (8, 6), 24 << 30)])
    monkeypatch.setattr(machine, "_driver_library", lambda: driver)
    return driver


@pytest.fixture
def rtx():
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[1:]]


def test_table_shows_each_engine(edgefill, rtx, cache):
    done = edgefill("build", "faces64", "--for", "rtx", "--batch", "8,1")
    assert done.code == 0 and done.err == ""
    assert done.out.split("\n")[0].split("  ")[0] == "graph"
    halves = ("wide_fit", "wide_generator", "fit", "step", "generator")
    precisions = {**dict.fromkeys(halves, "fp16"), "encoder": "fp32"}
    assert [row[:3] for row in rows(done.out)] == [
        [graph, batch, precision] for graph, precision in precisions.items() for batch in ("1", "8")
    ]
    for *_, seconds, size, path in rows(done.out):
        assert float(seconds) > 0 and 1 < float(size) < 20
        assert path.startswith(str(cache)) and path.endswith(".engine")
    again = edgefill("build", "faces64", "--for", "rtx", "--batch", "8")
    assert "is there and fits" in again.err and rows(again.out)[0] == rows(done.out)[1]


def test_json_is_one_document_with_what_the_sidecars_say(edgefill, rtx, model, tmp_path):
    arguments = (
        "--for",
        "rtx",
        "--sm",
        "86,89",
        "--dynamic",
        "--batch",
        "2,4",
        "--out",
        tmp_path / "engines",
    )
    done = edgefill("build", model, *arguments, "--json", "--optimization-level", "1")
    document = json.loads(done.out)
    fit, step, generator = document["engines"]
    assert document["model"] == "tiny" and (fit["graph"], generator["graph"]) == ("fit", "generator")
    assert (step["batch"], step["sm"], step["level"], step["library"]) == ([2, 4, 4], [86, 89], 1, "rtx")
    assert step["built"] and step["complaints"] == []
    sidecar = json.loads((tmp_path / "engines" / "step-rtx-fp32-b2-4-4.engine.json").read_text())
    assert sidecar.items() <= step.items()


def test_model_without_fp16_is_built_in_fp32_with_the_way_to_more(edgefill, rtx, model):
    done = edgefill("build", model, "--for", "rtx")
    assert f"edgefill export {model} --precision both --out" in done.err and rows(done.out)[0][2] == "fp32"
    refused = edgefill("build", model, "--for", "rtx", "--precision", "fp16")
    assert refused.code == 4 and "not in fp16" in refused.err


def test_of_an_imported_model_there_is_the_same_way_to_fp16(edgefill, monkeypatch, tmp_path):
    FakeTensorRT().install(monkeypatch)
    onnx.save(network(CONVENTIONS["Qualcomm's LaMa"]), tmp_path / "lama.onnx")
    edgefill("import", tmp_path / "lama.onnx", "--out", tmp_path / "lama.edgefill")
    done = edgefill("build", tmp_path / "lama.edgefill", "--for", "tensorrt")
    assert done.code == 0 and "lama.edgefill --precision both" in done.err


def test_without_a_gpu_it_has_to_be_said_for_which_one(edgefill, gpu, monkeypatch, model, cache):
    gpu.gpus.clear()
    fake = FakeTensorRT().install(monkeypatch)
    done = edgefill("build", model, "--for", "tensorrt")
    assert done.code == 5 and "builds for the GPU that is here" in done.err
    assert "--for rtx --sm 86,89" in done.err
    FakeTensorRT(rtx=True).install(monkeypatch)
    done = edgefill("build", model, "--for", "rtx")
    assert done.code == 5 and f"run: edgefill build {model} --for rtx --sm 75,80" in done.err
    assert not fake.count("build_serialized_network") and not cache.exists()


def test_range_of_one_size_begins_at_one(edgefill, monkeypatch, model):
    fake = FakeTensorRT().install(monkeypatch)
    done = edgefill("build", model, "--for", "tensorrt", "--dynamic", "--batch", "4")
    ((_, config), *_) = fake.arguments("build_serialized_network")
    assert [shape[0] for shape in config.profiles[0].shapes["z"]] == [1, 4, 4]
    assert rows(done.out)[0][1] == "1..4"


def test_tensorrt_is_taken_before_rtx(edgefill, monkeypatch, model):
    fake = FakeTensorRT().install(monkeypatch)
    fake.warns = ["a layer was cast"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    done = edgefill("build", model)
    assert "b1.engine: a layer was cast" in done.err and "step-tensorrt-fp32-b1" in done.out


def test_without_a_library_it_says_what_to_install(edgefill, monkeypatch, model):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = edgefill("build", model)
    assert done.code == 5
    assert install_line("rtx-build") in done.err and install_line("tensorrt") in done.err
    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    done = edgefill("build", model, "--for", "tensorrt")
    assert done.code == 5 and install_line("tensorrt") in done.err


def test_failure_is_tensorrts_own_words(edgefill, monkeypatch, model):
    fake = FakeTensorRT().install(monkeypatch)
    fake.failing["build_serialized_network"] = None
    done = edgefill("build", model, "--for", "tensorrt", "--json")
    assert done.code == 4 and "what TensorRT says" in json.loads(done.out)["error"]["message"]


def test_ctrl_c_ends_the_command(edgefill, monkeypatch, model):
    fake = FakeTensorRT().install(monkeypatch)
    fake.interrupt = lambda: signal.raise_signal(signal.SIGINT)
    done = edgefill("build", model, "--for", "tensorrt")
    assert done.code == 130 and done.out == "" and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--batch", "0"], 3, "--batch is '0'; expected whole numbers from 1"),
        (["--batch", ""], 3, "--batch is ''"),
        (["--batch", "1,,2"], 3, "expected whole numbers from 1"),
        (["--sm", "8.6"], 3, "--sm is '8.6'"),
        (["--for", "openvino"], 5, "expected one of tensorrt, rtx"),
        (["--optimization-level", "6"], 2, "Invalid value"),
    ],
)
def test_options_that_cannot_be_are_explained(options, code, message, edgefill, model):
    done = edgefill("build", model, *options)
    assert done.code == code and message in done.err and done.out == ""
