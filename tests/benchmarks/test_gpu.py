"""The program for a machine with a GPU, run on a stub driver: the kernels, compiled for the host, and engines
that ONNX Runtime runs. Its timings mean nothing here; that it proves, refutes and reports does.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from functools import partial
from itertools import count, islice
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu, gpu_executors, gpu_first, gpu_kernels
from benchmarks.gpu_checks import Check
from benchmarks.gpu_table import NOT_MEASURED, markdown
from edgefill import machine
from edgefill.model.bundle import Bundle
from edgefill.runtimes import open_backend
from tests.benchmarks.plugged import engines, plug
from tests.bundles import tiny_bundle, tiny_one_pass
from tests.driver import CAPTURE_INVALIDATED


@pytest.fixture
def cuda(driver, monkeypatch, tmp_path):
    """A GPU with TensorRT and without anything else; programs take the short way."""
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "free_memory", lambda: 10**9)
    monkeypatch.setattr(machine, "driver", lambda: machine.Driver((machine.Gpu("Fake GPU", (8, 9), 10**9),)))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(gpu, "_ROUNDS", 1)
    monkeypatch.setattr(gpu, "_RULE", gpu.Rule(0.0, 0.01, 2))
    monkeypatch.setattr(gpu_kernels, "SIZES", (1, 33, 100))
    monkeypatch.setattr(gpu_executors, "_RUNS", 20)
    monkeypatch.setattr(gpu, "first_checks", lambda *_: iter([Check("as it is used", True, "below")]))
    monkeypatch.setattr(gpu_first, "REPLAYS", 16)
    monkeypatch.setattr(gpu_first, "RUNS", 10)
    monkeypatch.setattr(gpu_first, "MANY", 8)
    monkeypatch.setattr(gpu_first, "PRELUDE", f"from {plug.__module__} import plug\nplug()\n")
    return driver


@pytest.fixture
def model(tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle(encoder=True))
    return tmp_path / "tiny.edgefill"


def run(model, folder) -> tuple[dict, str]:
    one_pass = model.with_name("pass.edgefill")
    one_pass.write_bytes(tiny_one_pass())
    gpu.main(model=str(model), batches="1,2", one_pass=str(one_pass), minutes=30, out=folder, name="gpu")
    return json.loads((folder / "gpu.json").read_text())["figures"], (folder / "gpu.md").read_text()


def test_it_proves_what_holds_measures_it_and_says_what_it_left_out(cuda, model, tmp_path, monkeypatch):
    engines(cuda, monkeypatch)
    figures, table = run(model, tmp_path / "results")
    checks = {(check["of"], check["name"]): check["passed"] for check in figures["checks"]}
    of_kernels = [passed for (of, _), passed in checks.items() if of == "kernels"]
    assert of_kernels == [True] * 13
    of_tensorrt = [passed for (of, _), passed in checks.items() if of == "tensorrt fp32"]
    races_loops_and_overheads = [True] * 6
    assert of_tensorrt == [True] * 4 + [None, True] + races_loops_and_overheads
    assert figures["settings"]["solver"] == "lbfgs" and figures["settings"]["start"] == "encoder"
    assert [passed for (of, _), passed in checks.items() if of == "tensorrt fp32, one pass"] == [True] * 3
    assert [passed for (of, _), passed in checks.items() if of == "rtx fp32"] == [None]
    assert ("tensorrt", "timing cache") in checks
    assert [race["batch"] for race in figures["races"]] == [1, 2]
    assert set(figures["races"][0]["seconds"]) == {"tensorrt"}
    assert [each["batch"] for each in figures["benches"][0]["figures"]] == [1, 2]
    assert all(each["build_seconds"] > 0 for each in figures["benches"][0]["figures"])
    assert [each["batch"] for each in figures["loops"]] == [1, 2] and "graphs, asking between" in table
    assert all(each["loop_seconds"] > 0 and each["portions_seconds"] > 0 for each in figures["loops"])
    assert [each["batch"] for each in figures["overheads"]] == [1, 2], "each in an engine of its own size"
    assert all(each["engine_seconds"] > 0 for each in figures["overheads"])
    left_out = "\n".join(figures["left_out"])
    assert "PyTorch fp32 batch 1" in left_out and "floor" in left_out
    assert f"| batch 1, times torch eager, in every precision, at least | 3 × | {NOT_MEASURED} |" in table
    assert not cuda.count("allocations") and not cuda.count("current contexts")


def test_a_race_in_which_a_graph_fell_back_is_a_failure(cuda, model, monkeypatch):
    engines(cuda, monkeypatch)
    cuda.fail("cuGraphInstantiateWithFlags", CAPTURE_INVALIDATED)
    session = gpu.Session(Bundle.open(model), [1], 30)
    session._race(["tensorrt"], "fp32", 1)
    (check,) = session.figures()["checks"]
    assert check["passed"] is False and check["measured"] == "1 steps at once" and "race" in check["name"]


def test_an_executor_that_computes_something_else_is_refuted_and_not_measured(
    cuda, model, tmp_path, monkeypatch
):
    engines(cuda, monkeypatch, wrong=50.0)
    figures, table = run(model, tmp_path / "results")
    first = next(check for check in figures["checks"] if check["of"] == "tensorrt fp32")
    assert first["passed"] is False and "cosine" in first["measured"]
    assert figures["benches"] == [] and all(not race["seconds"] for race in figures["races"])
    assert "| tensorrt fp32 | loss and gradient | NO |" in table


def test_a_kernel_that_differs_is_refuted(cuda, monkeypatch):
    right = gpu_kernels.take_step

    def late(state, found) -> None:
        right(state, found)
        state.z = state.z + np.float32(1e-3)

    monkeypatch.setattr(gpu_kernels, "take_step", late)
    found = list(gpu_kernels.kernel_checks(gpu.open_device()))
    assert any(check.passed is False for check in found)


@pytest.fixture
def as_used(cuda, tmp_path, monkeypatch):
    """The checks of the default search of a model with an encoder, in TensorRT, by name: the first few."""
    path = tmp_path / "encoded.edgefill"
    path.write_bytes(tiny_bundle(encoder=True))  # before, as torch looks for TensorRT when it exports
    engines(cuda, monkeypatch)
    bundle = Bundle.open(path)
    opened = partial(open_backend, "tensorrt", bundle, precision="fp32", say=lambda line: None)

    def of(most: int) -> dict[str, Check]:
        checks = gpu_first.first_checks(bundle, "tensorrt", "fp32", opened)
        return {each.name: each for each in islice(checks, most)}

    return of


def test_what_users_run_is_proven(as_used, monkeypatch):
    clock = map(math.sqrt, count())  # what is done again takes less, however busy this machine is
    monkeypatch.setattr(gpu_first, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    checks = as_used(11)
    assert len(checks) == 10 and not [check for check in checks.values() if not check.passed]


@pytest.mark.parametrize("call", ["cuStreamBeginCapture", "cuStreamBeginCaptureToGraph"])
def test_a_graph_or_a_loop_that_fell_back_is_refuted(call, as_used, cuda):
    cuda.fail(call, CAPTURE_INVALIDATED)
    failed = [check for check in as_used(4).values() if not check.passed]
    assert len(failed) == 1 and "to the bit" in failed[0].name and "slower" in failed[0].measured


def test_steps_that_no_row_needed_are_refuted(as_used, monkeypatch):
    soon = replace(gpu_first.default_settings(encoder=True), tolerance=0.9)  # on a plateau at once
    monkeypatch.setattr(gpu_first, "default_settings", lambda **_: soon)
    monkeypatch.setattr("edgefill.methods.latent.settings.SearchSettings.stops", False)
    failed = [check.name for check in as_used(4).values() if not check.passed]
    assert failed == ["steps run against steps needed"]


def test_nothing_is_begun_when_the_time_is_up(cuda, model, tmp_path, monkeypatch):
    engines(cuda, monkeypatch)
    gpu.main(model=str(model), batches="1", minutes=0, out=tmp_path, name="none")
    figures = json.loads((tmp_path / "none.json").read_text())["figures"]
    assert figures["checks"] == figures["races"] == []
    assert all("no time was left" in line for line in figures["left_out"])


def test_without_a_gpu_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(SystemExit, match="nothing can be measured here: pycuda cannot be imported"):
        gpu.main(out=tmp_path)


def test_goals_are_judged_by_what_was_measured():
    races = [
        {
            "precision": "fp16",
            "batch": 1,
            "seconds": {"rtx": 1e-4, "torch eager": 5e-4, "torch.compile": 3e-4},
        },
        {"precision": "fp16", "batch": 64, "seconds": {"rtx": 4e-4, "tensorrt": 2e-4}},
    ]
    figures = {
        "model": "m", "checks": [], "races": races, "loops": [], "benches": [], "left_out": [],
        "overheads": [{"backend": "rtx", "precision": "fp16", "batch": 1, "engine_seconds": 9e-5,
                       "added_seconds": 4e-6}],
        "flops_a_step": 10**9, "matrix_flops_per_second": 6.4e14,
    }  # fmt: skip
    table = markdown(figures, "GPU")
    assert "| update and graph add to a step, at most | 3 µs | 4.00 µs | no |" in table
    assert "| 3 × | 5.00 × | yes |" in table
    assert f"CUDA graph, in every precision, at least | 1.5 × | {NOT_MEASURED} | {NOT_MEASURED} |" in table
    assert "| batch 64 fp16, times what the FLOPs need, at most | 2.5 × | 2.00 × | yes |" in table
    np.testing.assert_equal(table.count("| fp16 | 64 | tensorrt | 200.0 | 1.00 |"), 1)
