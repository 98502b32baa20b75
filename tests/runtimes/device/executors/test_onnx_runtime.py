"""ONNX Runtime's CUDA provider through a fake that records what it is given."""

from __future__ import annotations

import inspect
import re
import sys

import numpy as np
import onnxruntime
import pytest

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.extras import install_line
from edgefill.kernels.device import open_device
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import graph_signatures
from edgefill.runtimes.device.executors import tensor_shapes
from edgefill.runtimes.device.executors.onnx_runtime import OnnxRuntimeExecutor
from tests.bundles import Z, tiny_bundle, tiny_one_pass
from tests.fakes.onnxruntime import FakeOnnxRuntime


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle())
    return Bundle.open(tmp_path / "tiny.edgefill")


@pytest.fixture
def device(driver):
    return open_device()


def test_every_tensor_is_bound_to_its_address_and_runs_go_to_our_stream(bundle, device, monkeypatch):
    library = FakeOnnxRuntime().install(monkeypatch)
    executor = OnnxRuntimeExecutor(bundle, device, precision="fp32")
    shapes = tensor_shapes(bundle.manifest, "step", 4)
    addresses = {name: 4096 * number for number, name in enumerate(shapes, start=1)}
    executor.bind("step", 4, addresses).enqueue()
    (session,) = library.sessions
    ((provider, options),) = session.providers
    assert provider == "CUDAExecutionProvider" and session.graph == bundle.graph("step")
    assert options == {
        "user_compute_stream": str(device.stream_handle),
        "enable_cuda_graph": "0",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    assert session.options.enable_mem_pattern is False
    ((binding, run_options),) = session.runs
    assert run_options.entries == {"disable_synchronize_execution_providers": "1"}
    inputs, outputs = graph_signatures(bundle.manifest)["step"]
    assert (set(binding.inputs), set(binding.outputs)) == (set(inputs), set(outputs))
    for name, bound in {**binding.inputs, **binding.outputs}.items():
        shape, kind = shapes[name]
        assert bound == ("cuda", 0, kind, shape, addresses[name]) and kind is np.float32
    assert executor.footprint().plan_bytes == len(session.graph)


def test_a_graph_of_any_size_is_bound_at_the_size_that_is_asked_for(tmp_path, device, monkeypatch):
    (tmp_path / "pass.edgefill").write_bytes(tiny_one_pass())
    library = FakeOnnxRuntime().install(monkeypatch)
    executor = OnnxRuntimeExecutor(Bundle.open(tmp_path / "pass.edgefill"), device, precision="fp32")
    executor.check()
    executor.bind("completion", 1, {"picture": 1, "known": 2, "completed": 3}, (12, 40)).enqueue()
    (session,) = library.sessions
    ((binding, _),) = session.runs
    assert session.providers[0][1]["cudnn_conv_algo_search"] == "HEURISTIC"
    assert binding.inputs["known"] == ("cuda", 0, np.float32, (1, 1, 12, 40), 2)
    assert binding.outputs["completed"] == ("cuda", 0, np.float32, (1, 1, 12, 40), 3)


def test_a_wide_graph_is_bound_at_its_width_and_opened_first(tmp_path, device, monkeypatch):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle(encoder=True))
    library, bundle = FakeOnnxRuntime().install(monkeypatch), Bundle.open(tmp_path / "tiny.edgefill")
    executor = OnnxRuntimeExecutor(bundle, device, precision="fp32")
    executor.check()
    tensors = tensor_shapes(bundle.manifest, "wide_fit", 2, features=64)
    executor.bind("wide_fit", 2, dict.fromkeys(tensors, 256)).enqueue()
    generator, fit = library.sessions
    assert (generator.graph, fit.graph) == (bundle.graph("wide_generator"), bundle.graph("wide_fit"))
    ((binding, _),) = fit.runs
    wide = {**binding.inputs, **binding.outputs}
    assert {wide[name][3] for name in ("z", "anchor", "grad_z")} == {(2, Z + 64)}


def test_any_number_of_rows_runs_in_a_power_of_two(bundle, device, monkeypatch):
    FakeOnnxRuntime().install(monkeypatch)
    executor = OnnxRuntimeExecutor(bundle, device, precision="fp32")
    assert [executor.capacity("step", rows) for rows in (1, 2, 3, 16, 17)] == [1, 2, 4, 16, 32]


def test_a_session_that_falls_back_to_the_cpu_is_an_error(bundle, device, monkeypatch):
    FakeOnnxRuntime(opens_on="CPUExecutionProvider").install(monkeypatch)
    executor = OnnxRuntimeExecutor(bundle, device, precision="fp32")
    with pytest.raises(BackendUnavailable, match="opened step on CPUExecutionProvider, expected CUDA"):
        executor.bind("step", 1, {})


def test_a_runtime_without_cuda_names_the_install_line(bundle, device, monkeypatch):
    FakeOnnxRuntime(providers=("CPUExecutionProvider",)).install(monkeypatch)
    with pytest.raises(BackendUnavailable, match=re.escape(install_line("gpu"))):
        OnnxRuntimeExecutor(bundle, device, precision="fp32")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match="cannot be imported .*" + re.escape(install_line("gpu"))):
        OnnxRuntimeExecutor(bundle, device, precision="fp32")


def test_a_run_that_fails_is_an_engine_error_in_its_words(bundle, device, monkeypatch):
    library = FakeOnnxRuntime().install(monkeypatch)
    executor = OnnxRuntimeExecutor(bundle, device, precision="fp32")
    shapes = tensor_shapes(bundle.manifest, "generator", 1)
    bound = executor.bind("generator", 1, dict.fromkeys(shapes, 256))
    library.breaks = "CUDA failure 700"
    with pytest.raises(EngineError, match="cannot run generator: CUDA failure 700"):
        bound.enqueue()


def test_the_fake_takes_what_the_library_takes():
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    binding = onnxruntime.IOBinding
    for method in ("bind_input", "bind_output"):
        names = list(inspect.signature(getattr(binding, method)).parameters)
        assert names[1:] == ["name", "device_type", "device_id", "element_type", "shape", "buffer_ptr"]
    assert hasattr(onnxruntime.InferenceSession, "run_with_iobinding")
