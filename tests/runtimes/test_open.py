"""Which backend runs: the one that was asked for or an error; only auto chooses."""

from __future__ import annotations

import re
import sys
from importlib import import_module

import pytest

from edgefill import machine, runtimes
from edgefill.errors import BackendUnavailable, EngineError
from edgefill.extras import install_line
from edgefill.model.bundle import Bundle
from edgefill.runtimes import open_backend
from edgefill.runtimes.registry import row_of
from tests.bundles import tiny_bundle, tiny_joined, tiny_one_pass
from tests.fakes.onnxruntime import FakeOnnxRuntime
from tests.fakes.tensorrt import FakeTensorRT


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle())
    return Bundle.open(tmp_path / "tiny.edgefill")


@pytest.fixture
def one_pass(tmp_path):
    (tmp_path / "pass.edgefill").write_bytes(tiny_joined())
    return Bundle.open(tmp_path / "pass.edgefill")


@pytest.fixture
def without(monkeypatch):
    """Makes modules impossible to import."""

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_auto_without_a_gpu_is_the_cpu_and_loads_nothing_of_cuda(bundle, monkeypatch, without):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: False)
    without("pycuda.driver", "tensorrt", "tensorrt_rtx")
    said: list[str] = []
    assert open_backend("auto", bundle, say=said.append).info.name == "cpu"
    assert not said


def test_auto_on_a_processor_takes_openvino_for_a_network_of_one_size(one_pass, bundle, monkeypatch):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: False)
    said: list[str] = []
    assert str(open_backend("auto", one_pass, threads=1, say=said.append).info).startswith(
        "openvino (OpenVINO 20"
    )
    assert open_backend("auto", bundle, say=said.append).info.name == "cpu" and not said


def test_auto_on_a_processor_takes_onnx_runtime_for_a_network_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: False)
    (tmp_path / "any.edgefill").write_bytes(tiny_one_pass())
    assert open_backend("auto", Bundle.open(tmp_path / "any.edgefill"), threads=1).info.name == "cpu"


@pytest.mark.parametrize(("missing", "taken"), [("openvino", "cpu"), ("onnxruntime", "openvino")])
def test_auto_on_a_processor_takes_what_is_there(missing, taken, one_pass, bundle, monkeypatch, without):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: False)
    without(missing)
    for home in ("openvino", "onnx_runtime"):
        monkeypatch.delitem(sys.modules, f"edgefill.runtimes.{home}", raising=False)
    assert {open_backend("auto", each).info.name for each in (one_pass, bundle)} == {taken}


def test_auto_where_nothing_is_there_names_what_takes_every_model(one_pass, monkeypatch, without):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: False)
    without("edgefill.runtimes.openvino", "edgefill.runtimes.onnx_runtime")
    with pytest.raises(BackendUnavailable, match=re.escape(install_line("cpu"))):
        open_backend("auto", one_pass)


def test_auto_with_a_gpu_that_nothing_can_use_says_why_before_it_takes_the_cpu(bundle, monkeypatch, without):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: True)
    without("pycuda.driver")
    said: list[str] = []
    assert open_backend("auto", bundle, say=said.append).info.name == "cpu"
    (reasons,) = said
    assert reasons.startswith("a GPU is here, and no backend that uses it works")
    assert all(f"\n{name}: pycuda cannot be imported" in reasons for name in runtimes.DEVICE_BACKENDS)


def test_auto_goes_on_whatever_the_reason_is_and_says_it(one_pass, bundle, monkeypatch):
    """A driver that is half there, or a library that cannot be set up, may raise anything."""

    def broken(*_: object, **__: object):
        raise RuntimeError("no such\ndevice plugin")

    monkeypatch.setattr(runtimes, "gpu_present", lambda: True)
    monkeypatch.setattr("edgefill.runtimes.device.runtime.DeviceRuntime.open", broken)
    home = import_module("edgefill.runtimes.openvino")  # the one that is loaded now
    monkeypatch.setattr(home, "open_runtime", broken)
    said: list[str] = []
    assert open_backend("auto", one_pass, threads=1, say=said.append).info.name == "cpu"
    devices, host = said
    assert all(
        f"\n{name}: RuntimeError: no such device plugin" in devices for name in runtimes.DEVICE_BACKENDS
    )
    assert host.startswith("the backend openvino does not work here") and "no such device plugin" in host
    with pytest.raises(RuntimeError):
        open_backend("openvino", one_pass)


def test_auto_takes_the_first_that_works(bundle, driver, monkeypatch, without):
    monkeypatch.setattr(runtimes, "gpu_present", lambda: True)
    FakeOnnxRuntime().install(monkeypatch)
    without("tensorrt", "tensorrt_rtx")
    info = open_backend("auto", bundle, say=lambda line: None).info
    assert str(info) == "cuda (ONNX Runtime 1.31.1, Stub GPU, fp32)"


def test_auto_passes_by_an_rtx_that_does_not_run_on_this_gpu(bundle, driver, monkeypatch, without, tmp_path):
    """TensorRT for RTX builds engines for GPUs that it knows, and is installed on others too."""
    monkeypatch.setattr(runtimes, "gpu_present", lambda: True)
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "driver", lambda: machine.Driver((machine.Gpu("H", (9, 0), 10**9),)))
    monkeypatch.setattr(machine, "free_memory", lambda: 10**9)
    driver.plug(sm=90)
    FakeOnnxRuntime().install(monkeypatch)
    without("tensorrt")
    rtx = FakeTensorRT("1.7.1", rtx=True, sm=90).install(monkeypatch)
    rtx.failing["deserialize_cuda_engine"] = None
    assert open_backend("auto", bundle, say=lambda line: None).info.name == "cuda"
    with pytest.raises(EngineError, match="what TensorRT says"):
        open_backend("rtx", bundle, say=lambda line: None)


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [
        ("tensorrt", "tensorrt", ""),
        ("rtx", "tensorrt_rtx", ""),
        ("cuda", "onnxruntime", ""),
        ("openvino", "openvino", "OpenVINO, which .*"),
        ("cpu", "onnxruntime", "ONNX Runtime, which .*"),
    ],
)
def test_one_that_was_asked_for_and_is_not_there_is_an_error(
    name, module, said, bundle, driver, monkeypatch, without
):
    without(module)
    for home in ("openvino", "onnx_runtime"):  # which may be loaded already, with its library
        monkeypatch.delitem(sys.modules, f"edgefill.runtimes.{home}", raising=False)
    line = install_line(row_of(name).extra)
    with pytest.raises(BackendUnavailable, match=said + ".*" + re.escape(line)):
        open_backend(name, bundle)


def test_an_unknown_name_lists_the_known(bundle):
    with pytest.raises(BackendUnavailable, match="no backend 'vulkan'; expected one of auto, tensorrt, rtx"):
        open_backend("vulkan", bundle)
