"""The device through a fake driver: what it asks of pycuda, and what it says where something is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edgefill.errors import BackendUnavailable, EngineError, InputError
from edgefill.kernels.device import Buffers, CaptureFailed, Device
from edgefill.kernels.launcher import Kernels
from tests.fakes.cuda import FakeCuda


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda().install(monkeypatch)


def test_a_device_says_what_it_is(cuda):
    device = Device()
    assert (device.name, device.sm, device.cuda_version) == ("Fake GPU", 89, (12, 6))
    assert device.stream_handle and cuda.contexts == 0


def test_the_context_is_current_inside_and_nowhere_else(cuda):
    device = Device()
    with device, device:
        assert cuda.contexts == 2
    assert cuda.contexts == 0
    with pytest.raises(ZeroDivisionError), device:
        _ = 1 / 0
    assert cuda.contexts == 0


def test_arrays_come_back_as_they_went_and_each_lies_aligned(cuda):
    device = Device()
    z, count = np.arange(15, dtype=np.float32).reshape(3, 5), np.arange(3, dtype=np.int32)
    with device:
        buffers = Buffers(device, {"z": (z.shape, z.dtype), "count": ((4,), np.int32)})
        buffers.upload(z=z, count=count)
        device.synchronize()
        for array in buffers.host.values():
            array[...] = 99
        buffers.download()
        device.synchronize()
    np.testing.assert_array_equal(buffers.host["z"], z)
    assert buffers.host["count"].tolist() == [0, 1, 2, 0], "what nobody wrote is 0"
    assert all(address % 256 == 0 for address in buffers.address.values())


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        ({"devices": 0}, "the GPU 0 cannot be used: .*`edgefill doctor`"),
        (
            {"cuda": 11080},
            r"supports CUDA 11\.8; the kernels need 12\.0 or later: install a newer NVIDIA driver",
        ),
    ],
)
def test_what_cannot_run_the_kernels_says_why(hardware, message, monkeypatch):
    FakeCuda(**hardware).install(monkeypatch)
    with pytest.raises(BackendUnavailable, match=message):
        Device()


def test_without_pycuda_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendUnavailable, match=r'pip install "edgefill\[rtx\]"'):
        Device()


def test_without_cuda_bindings_nothing_can_be_captured(cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    device = Device()
    with device, pytest.raises(CaptureFailed, match="pip install cuda-bindings"):
        device.capture(lambda: None)


def test_a_driver_s_error_becomes_ours_and_says_where(cuda):
    device = Device()
    cuda.failing["init"] = "an illegal memory access was encountered"
    with (
        pytest.raises(EngineError, match=r"Fake GPU reports: an illegal memory access .* --backend cpu"),
        device,
    ):
        device._cuda.init()
    assert cuda.contexts == 0


def test_too_much_memory_says_what_is_free(monkeypatch):
    FakeCuda(memory=5_000_000).install(monkeypatch)
    device = Device()
    with device, pytest.raises(InputError, match=r"has no 6 MB free \(5 MB are\)"):
        device.allocate(6_000_000)


@pytest.mark.parametrize(("sm", "begins"), [((8, 9), b"\x7fELF"), ((12, 0), b"//")])
def test_kernels_come_as_machine_code_for_known_gpus_and_as_ptx_for_newer_ones(sm, begins, monkeypatch):
    cuda = FakeCuda(sm=sm).install(monkeypatch)
    device = Device()
    with device:
        Kernels(device)
    (image,) = cuda.loaded
    assert image.startswith(begins) and image.endswith(b"\0")


def test_kernels_that_do_not_load_name_the_driver(cuda):
    cuda.failing["module_from_buffer"] = "the provided PTX was compiled with an unsupported toolchain"
    device = Device()
    with device, pytest.raises(BackendUnavailable, match=r"sm_89\) cannot load the kernels .* NVIDIA driver"):
        Kernels(device)


def test_a_capture_that_fails_ends_and_leaves_the_stream_usable(cuda):
    device = Device()

    def refuses() -> None:
        raise EngineError("cannot be enqueued")

    with device:
        with pytest.raises(CaptureFailed, match="cannot be captured: cannot be enqueued"):
            device.capture(refuses)
        assert cuda.calls[-1] == "cuStreamEndCapture" and cuda.capturing is None
        device.synchronize()


def test_the_names_that_are_called_are_there_in_cuda_bindings():
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings has wheels for few platforms")
    fake = vars(FakeCuda().bindings())
    assert all(hasattr(driver, name) for name in fake)
    assert hasattr(driver.CUstreamCaptureMode, "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL")
    assert driver.CUresult.CUDA_SUCCESS == 0
