"""The device on a stub driver: what it asks of pycuda, and what it says where something is missing."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from edgefill import machine
from edgefill.errors import BackendUnavailable, EngineError, InputError
from edgefill.extras import install_line
from edgefill.kernels.arguments import SEARCH
from edgefill.kernels.buffers import Buffers
from edgefill.kernels.device import CaptureFailed, open_device, release_devices
from edgefill.kernels.launcher import Kernels
from edgefill.kernels.solvers import LBFGS
from tests.driver import array

LEFT = ("contexts", "current contexts", "streams", "events", "allocations", "pinned", "graphs", "executables")


def left(driver) -> dict[str, int]:
    """What is there of anything that is counted."""
    gc.collect()
    return {name: count for name in LEFT if (count := driver.count(name))}


def test_a_device_says_what_it_is(driver):
    device = open_device()
    assert (device.name, device.sm, device.cuda_version) == ("Stub GPU", 89, (12, 6))
    assert device.stream_handle and driver.count("current contexts") == 0


def test_the_context_is_current_inside_and_nowhere_else(driver):
    device = open_device()
    with device, device:
        assert driver.count("current contexts") == 1, "pycuda keeps the others of its stack to itself"
    assert driver.count("current contexts") == 0
    with pytest.raises(ZeroDivisionError), device:
        _ = 1 / 0
    assert driver.count("current contexts") == 0


def test_a_gpu_is_one_device_however_often_it_is_opened_and_all_of_it_is_given_back(driver):
    devices = {id(open_device()) for _ in range(5)}
    device = open_device()
    with device:
        buffers = Buffers(device, {"z": ((4,), np.float32)})
        buffers.upload()
        device.record("here").synchronize()
        buffers.free()
        del buffers
    assert len(devices) == 1 and driver.count("contexts") == 1
    release_devices()
    assert left(driver) in ({}, {"current contexts": 1}), "pycuda releases a context while it is current"
    assert driver.count("cuDevicePrimaryCtxRelease") == 1 and driver.count("cuCtxDetach") == 0


def test_a_process_that_ends_without_closing_anything_releases_the_device(driver):
    program = (
        "from tests.driver import StubDriver; import sys\n"
        "driver = StubDriver().plug(); sys.path.insert(0, str(driver.pycuda))\n"
        "import atexit; from edgefill.kernels import device; from edgefill.kernels.buffers import Buffers\n"
        "atexit.unregister(device.release_devices)\n"
        "atexit.register(lambda: print(driver.count('contexts'), driver.count('streams'), driver.wrong))\n"
        "atexit.register(device.release_devices)\n"
        "gpu = device.open_device()\n"
        "with gpu: buffers = Buffers(gpu, {'z': ((4,), 'f4')}); buffers.upload()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0 0 []", "")


def test_an_event_is_recorded_again_and_not_made_again_whatever_the_thread(driver):
    device = open_device()

    def record() -> None:
        for _ in range(50):
            with device:
                device.record("here").synchronize()

    for _ in range(2):
        thread = threading.Thread(target=record)
        thread.start()
        thread.join()
    assert driver.count("events") == driver.count("cuEventCreate") == 1


def test_one_thread_at_a_time_is_inside(driver):
    device, inside, most = open_device(), [], []

    def enter() -> None:
        for _ in range(200):
            with device:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and driver.count("cuCtxPushCurrent") == driver.count("cuCtxPopCurrent")


def test_arrays_come_back_as_they_went_and_each_lies_aligned(driver):
    device = open_device()
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


def test_one_array_may_be_uploaded_alone(driver):
    device = open_device()
    with device:
        buffers = Buffers(device, {"z": ((100,), np.float32), "count": ((4,), np.int32)})
        buffers.upload()
        device.synchronize()
        driver.clear()
        buffers.upload_only("count", np.arange(3, dtype=np.int32))
        device.synchronize()
        assert driver.count("bytes up") == 16
        buffers.host["count"][...] = 99
        buffers.download()
        device.synchronize()
    assert buffers.host["count"].tolist() == [0, 1, 2, 0]


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
def test_what_cannot_run_the_kernels_says_why_and_keeps_no_context(hardware, message, driver):
    driver.plug(**hardware)
    with pytest.raises(BackendUnavailable, match=message):
        open_device()
    assert driver.count("contexts") == 0


def test_without_pycuda_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendUnavailable, match=re.escape(install_line("rtx"))):
        open_device()


def test_without_cuda_bindings_nothing_can_be_captured(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    device = open_device()
    with device, pytest.raises(CaptureFailed, match="pip install cuda-bindings"):
        device.capture(lambda: None)


def test_a_driver_s_error_becomes_ours_and_says_where(driver):
    device = open_device()
    driver.fail("cuMemAlloc", 700)
    with pytest.raises(EngineError, match=r"Stub GPU reports: .*700.* --backend cpu"), device:
        device.allocate(4)
    assert driver.count("current contexts") == 0


def test_too_much_memory_says_what_is_free(driver):
    driver.plug(memory=5_000_000)
    device = open_device()
    with device, pytest.raises(InputError, match=r"has no 6 MB free \(5 MB are\)"):
        device.allocate(6_000_000)


@pytest.mark.parametrize("integrated", [True, False])
def test_where_memory_is_shared_what_the_system_would_give_back_is_free(integrated, driver, monkeypatch):
    driver.plug(memory=5_000_000, integrated=integrated)
    monkeypatch.setattr(machine, "available_memory", lambda: 7_000_000)
    device = open_device()
    with device:
        assert device.free_memory() == (7_000_000 if integrated else 5_000_000)


@pytest.mark.parametrize("integrated", [True, False])
def test_waits_spin_where_the_driver_might_sleep(integrated, driver):
    driver.plug(integrated=integrated)
    open_device()
    calls = [call for call in driver.log if call.startswith("cuDevicePrimaryCtx")]
    assert calls == ["cuDevicePrimaryCtxSetFlags"] * integrated + ["cuDevicePrimaryCtxRetain"]
    assert driver.count("context flags") == (1 if integrated else 0)


@pytest.mark.parametrize(("sm", "form"), [(89, "machine code"), (120, "PTX")])
def test_kernels_come_as_machine_code_for_known_gpus_and_as_ptx_for_newer_ones(sm, form, driver):
    driver.plug(sm=sm)
    device = open_device()
    with device:
        Kernels(device)
    assert driver.count(f"modules of {form}") == 1


@pytest.mark.parametrize(("numbers", "block"), [(1, 128), (100, 128), (200, 256), (4196, 512), (10**6, 512)])
def test_a_wider_row_has_more_threads(numbers, block, driver, monkeypatch):
    launched = []
    solver = LBFGS()
    with open_device() as device:
        kernels = Kernels(device)
        monkeypatch.setattr(device, "launch", lambda function, *sizes: launched.append(sizes[:2]))
        arguments = np.zeros((), solver.struct(SEARCH).dtype)
        arguments["search"]["rows"], arguments["search"]["z_dim"] = 3, numbers
        kernels.step(solver, arguments)
        kernels.close()
    assert launched == [(3, block)]


def test_kernels_that_do_not_load_name_the_driver(driver):
    driver.fail("cuModuleLoadDataEx", 222)
    device = open_device()
    with device, pytest.raises(BackendUnavailable, match=r"sm_89\) cannot load the kernels .* NVIDIA driver"):
        Kernels(device)


def test_a_capture_that_fails_ends_and_leaves_the_stream_usable(driver):
    device = open_device()

    def refuses() -> None:
        raise EngineError("cannot be enqueued")

    with device:
        with pytest.raises(CaptureFailed, match="cannot be captured: cannot be enqueued"):
            device.capture(refuses)
        assert driver.log[-1] == "cuStreamEndCapture"
        device.synchronize()


def test_a_wait_within_a_capture_breaks_it_and_what_comes_after_works(driver):
    device = open_device()
    with device:
        with pytest.raises(CaptureFailed, match="cannot be captured"):
            device.capture(device.synchronize)
        device.capture(lambda: None).close()


def loop(device, buffers, driver, calls: list[str]):
    """A graph whose body takes a step of every row; the rows' limits are 3 and 5."""
    kernels, arguments = Kernels(device), np.zeros((), LBFGS().struct(SEARCH).dtype)
    for name in ("status", "steps", "limit"):
        arguments["search"][name] = buffers.address[name]
    arguments["search"]["rows"] = 2
    kernels.load_loop()
    steps, limit = (array(buffers.address[name], (2,), np.int32) for name in ("steps", "limit"))

    def step() -> None:
        calls.append("step")
        steps[:] = np.minimum(steps + 1, limit)

    def body(handle: int) -> None:
        driver.enqueue(device.stream_handle, step)
        kernels.search_again(arguments, handle)

    return device.capture_loop(body)


def test_a_loop_runs_its_body_until_a_kernel_ends_it_and_again_at_the_next_launch(driver):
    driver.plug(cuda=12040)
    device, calls = open_device(), []
    assert device.loops
    with device:
        buffers = Buffers(device, {name: ((2,), np.int32) for name in ("status", "steps", "limit")})
        graph = loop(device, buffers, driver, calls)
        for limit, turns in (([3, 5], 5), ([6, 5], 3), ([6, 6], 1), ([6, 6], 1)):
            calls.clear()
            buffers.upload_only("status", np.zeros(2, np.int32))
            buffers.upload_only("limit", np.array(limit, np.int32))
            if turns == 5:
                buffers.upload_only("steps", np.zeros(2, np.int32))
            graph.launch()
            device.synchronize()
            assert len(calls) == turns, "once at least"
        graph.close()
        buffers.free()
    assert driver.count("graphs") == driver.count("executables") == 0


def test_a_driver_without_loops_has_no_name_for_what_ends_them(driver):
    driver.plug(cuda=12020)
    device = open_device()
    with device, pytest.raises(CaptureFailed, match=r"loop\.ptx cannot be loaded: .*218"):
        Kernels(device).load_loop()
    assert not device.loops


def test_bindings_that_are_too_old_for_loops_are_named(driver, monkeypatch):
    device = open_device()
    monkeypatch.delattr("cuda.bindings.driver.cuGraphConditionalHandleCreate")
    with (
        device,
        pytest.raises(CaptureFailed, match="too old for cuGraphConditionalHandleCreate: pip install"),
    ):
        device.capture_loop(lambda handle: None)
    assert driver.count("graphs") == 0


def test_nothing_is_collected_while_steps_are_captured(driver):
    device = open_device()
    with device:
        ring = [Buffers(device, {"z": ((4,), np.float32)})]
        ring.append(ring)  # what holds itself is freed by a collection, and freeing breaks a capture
        there = weakref.ref(ring[0])
        del ring

        def allocates() -> None:
            _ = [[] for _ in range(100_000)]  # enough for collections

        device.capture(allocates).close()
        assert there() is not None and gc.isenabled()
