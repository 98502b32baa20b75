"""What the machine is said to be, over file systems and drivers that are made up."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from edgefill import machine
from tests.fakes.libcuda import FakeCuda

ORIN = ("Orin", (8, 7), 64 << 30)
OPEN_MODULE = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain)\n"
)
CLOSED_MODULE = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC 12\n"
)
R36 = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"


@pytest.fixture
def root(tmp_path):
    """A file system to put files into: ``root("etc/x", "text")``; returns its root."""

    def write(path="", text=""):
        if path:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return write


@pytest.fixture
def cuda(monkeypatch):
    """Puts a driver's library, or None, where the real one would be."""

    def put(library):
        monkeypatch.setattr(machine, "_driver_library", lambda: library)
        return library

    return put


def test_gpu_is_described_by_its_driver(cuda, root):
    cuda(FakeCuda([ORIN, ("NVIDIA H200", (9, 0), 143771 << 20)], version=13020))
    root("proc/driver/nvidia/version", OPEN_MODULE)
    found = machine.driver(root())
    assert found.gpus[0] == machine.Gpu("Orin", (8, 7), 64 << 30)
    assert [gpu.sm for gpu in found.gpus] == [87, 90]
    assert (found.cuda, found.release, found.problem) == ((13, 2), "540.4.0", "")


def test_place_of_the_gpu_on_its_bus_is_what_nvml_asks_for(cuda):
    cuda(FakeCuda([ORIN, ORIN]))
    assert machine.pci_bus() == "0000:65:00.0"
    cuda(FakeCuda())  # no GPU
    assert machine.pci_bus() is None
    cuda(None)  # no driver
    assert machine.pci_bus() is None


def test_release_of_the_closed_kernel_module_is_read_too(cuda, root):
    cuda(None)
    root("proc/driver/nvidia/version", CLOSED_MODULE)
    assert machine.driver(root()).release == "550.54.15"


def test_free_memory_is_the_drivers_and_its_context_is_given_back(cuda, root):
    library = cuda(FakeCuda([("RTX 4090", (8, 9), 24 << 30)], free=20 << 30))
    assert machine.free_memory(root()) == 20 << 30
    assert library.contexts == 0
    library.free = 0
    assert machine.free_memory(root()) is None
    library.gpus = []
    assert machine.free_memory(root()) is None
    cuda(None)
    assert machine.free_memory(root()) is None


def test_free_memory_of_a_jetson_is_what_its_system_has(cuda, root):
    cuda(FakeCuda([ORIN], free=1 << 30))
    root("etc/nv_tegra_release", R36)
    root("proc/meminfo", "MemTotal:  64000000 kB\nMemAvailable:   50000000 kB\n")
    assert machine.free_memory(root()) == 50_000_000 * 1024


def test_machine_without_a_driver_says_which_library_is_absent(cuda, root):
    cuda(None)
    found = machine.driver(root())
    assert found.gpus == () and found.cuda is None and found.release is None
    assert "cannot be loaded" in found.problem and "cuda" in found.problem


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        (FakeCuda(), "CUDA_ERROR_NO_DEVICE (100)"),
        (FakeCuda([ORIN], fails=803), "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"),
        (FakeCuda([ORIN], fails=4242), "CUDA error 4242"),
    ],
)
def test_driver_that_cannot_start_gives_its_own_reason_and_its_version(cuda, root, library, reason):
    cuda(library)
    found = machine.driver(root())
    assert reason in found.problem and found.gpus == () and found.cuda == (12, 6)


def test_library_that_is_absent_is_no_error(monkeypatch):
    monkeypatch.setattr(machine, "_DRIVER_LIBRARY", "libcuda-that-is-nowhere.so.1")
    assert machine._driver_library() is None


@pytest.mark.skipif(sys.platform == "win32", reason="device files are those of Linux")
@pytest.mark.parametrize(
    "file", ["dev/nvidia0", "dev/nvidia3", "dev/nvhost-gpu", "dev/nvgpu/igpu0", "dev/dxg"]
)
def test_gpu_is_present_where_its_file_and_the_library_are(cuda, root, file):
    cuda(FakeCuda())
    assert not machine.gpu_present(root("dev/nvidiactl"))
    assert machine.gpu_present(root(file))
    cuda(None)
    assert not machine.gpu_present(root())


def test_looking_for_a_gpu_is_quick():
    def seconds() -> float:
        begin = time.perf_counter()
        machine.gpu_present()
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(10)) < 0.005  # 0.1 ms seen


def test_jetson_tells_its_release_and_power_mode(root, tmp_path, monkeypatch):
    root("proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    root("etc/nv_tegra_release", R36)
    command = root("bin/nvpmodel", "#!/bin/sh\necho 'NV Power Mode: MAXN'\necho 0\n") / "bin/nvpmodel"
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert machine.jetson(root()) == machine.Jetson(
        "NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", 6, "MAXN"
    )


@pytest.mark.parametrize(
    ("release", "l4t", "jetpack"), [("R39 (release), REVISION: 2.1, G", "39.2.1", 7), ("", None, None)]
)
def test_jetson_is_known_by_its_model_alone(root, monkeypatch, release, l4t, jetpack):
    monkeypatch.setenv("PATH", "")
    root("etc/nv_tegra_release", release)
    root("proc/device-tree/model", "NVIDIA Jetson Orin Nano")
    board = machine.jetson(root())
    assert (board.l4t, board.jetpack, board.power_mode) == (l4t, jetpack, None)


def test_other_boards_are_no_jetson(root):
    assert machine.jetson(root()) is None
    assert machine.jetson(root("proc/device-tree/model", "Raspberry Pi 5 Model B\0")) is None


def test_processor_is_named_as_the_kernel_names_it(root):
    text = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n"
    assert machine.processor(root("proc/cpuinfo", text)) == "ARMv8 Processor rev 1 (v8l)"
    assert machine.processor(root("proc/cpuinfo", "CPU implementer: 0x41\n"))


def test_version_is_that_of_the_distribution():
    import numpy

    assert machine.version("numpy") == numpy.__version__
    assert machine.version("edgefill-of-nobody") is None


def test_environment_keeps_its_keys_and_adds_the_gpu_where_one_is(cuda, monkeypatch):
    monkeypatch.setattr(machine, "jetson", lambda: None)
    cuda(None)
    keys = ["date", "commit", "processor", "cores", "system", "python", "packages"]
    without = machine.environment(["numpy", "nothing"])
    assert list(without) == keys and without["packages"]["nothing"] is None
    cuda(FakeCuda([ORIN]))
    monkeypatch.setattr(machine, "jetson", lambda: machine.Jetson("Orin", "36.4.3", 6, "MAXN"))
    document = json.loads(json.dumps(machine.environment(["numpy"])))
    assert list(document) == [*keys, "gpu", "jetson"]
    assert document["gpu"]["name"] == "Orin" and document["gpu"]["memory_mib"] == 65536
    assert (document["gpu"]["compute_capability"], document["gpu"]["cuda"]) == ("8.7", "12.6")
    assert document["jetson"]["power_mode"] == "MAXN"


def test_commit_is_that_of_the_checkout_and_of_no_repository_around_it(monkeypatch, tmp_path):
    file = tmp_path / "machine.py"
    file.touch()
    monkeypatch.setattr(machine, "__file__", str(file))

    def git(*arguments):
        identity = ("-c", "user.name=nobody", "-c", "user.email=nobody")
        return machine._output("git", *identity, *arguments, folder=tmp_path)

    assert machine.commit() is None
    git("init")
    git("commit", "--allow-empty", "--message", "somebody else's")
    assert machine.commit() is None
    git("add", "machine.py")
    git("commit", "--message", "ours")
    assert machine.commit() == git("rev-parse", "--short", "HEAD")
    file.write_text("changed")
    assert machine.commit() == git("rev-parse", "--short", "HEAD") + "+"
