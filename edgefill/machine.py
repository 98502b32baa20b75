"""What this machine is: processor, GPU and driver, Jetson, versions, commit.

The driver is asked through ctypes, without a context, so that neither pycuda nor a CUDA toolkit needs to be
there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

GPU_PACKAGES = ("tensorrt", "tensorrt-rtx", "onnxruntime-gpu", "pycuda", "cuda-bindings")

_ROOT = Path("/")
_DRIVER_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_GPU_FILES = ("dev/nvidia[0-9]*", "dev/nvhost-gpu", "dev/nvgpu/*", "dev/dxg")  # desktop, Jetson (two), WSL
_JETPACK_OF_L4T = {35: 5, 36: 6, 38: 7, 39: 7}
_NAME_LENGTH = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver describes it."""

    name: str
    capability: tuple[int, int]
    memory: int  # bytes

    @property
    def sm(self) -> int:
        """Its architecture as compilers write it, such as 87."""
        return 10 * self.capability[0] + self.capability[1]


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says; ``problem`` is why there is no GPU, empty where there is one."""

    gpus: tuple[Gpu, ...] = ()
    cuda: tuple[int, int] | None = None  # the newest CUDA that it runs
    release: str | None = None  # of the kernel module, such as "550.54.15"
    problem: str = ""


@dataclass(frozen=True)
class Jetson:
    """A Jetson module and its system, as far as they can be read."""

    model: str | None
    l4t: str | None  # such as "36.4.3"
    jetpack: int | None  # 6 for every JetPack 6.x
    power_mode: str | None  # such as "MAXN"


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """The machine, the versions of ``packages`` and the commit, for a result; ``gpu`` where there is one."""
    document: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit(),
        "processor": processor(),
        "cores": cores(),
        "system": system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
    found, board = driver(), jetson()
    if found.gpus:
        document["gpu"] = _gpu_document(found)
        installed = {name: version(name) for name in GPU_PACKAGES}
        document["packages"] |= {name: its for name, its in installed.items() if its}
    if board:
        document["jetson"] = asdict(board)
    return document


def gpu_present(root: Path = _ROOT) -> bool:
    """Whether a GPU's device file and the driver's library are there; the driver is not started."""
    if sys.platform != "win32" and not any(next(root.glob(name), None) for name in _GPU_FILES):
        return False
    return _driver_library() is not None


def driver(root: Path = _ROOT) -> Driver:
    """The NVIDIA driver and its GPUs, without making a context."""
    release = _kernel_driver(root)
    library = _driver_library()
    if library is None:
        return Driver(
            release=release, problem=f"{_DRIVER_LIBRARY} cannot be loaded: no NVIDIA driver is here"
        )
    cuda = _number(library.cuDriverGetVersion)
    versions = (cuda // 1000, cuda % 1000 // 10) if cuda else None
    status = library.cuInit(0)
    if status:
        return Driver((), versions, release, f"the driver cannot start: {_error(library, status)}")
    count = _number(library.cuDeviceGetCount) or 0
    gpus = tuple(_gpu(library, index) for index in range(count))
    return Driver(gpus, versions, release, "" if gpus else "the driver finds no GPU")


def free_memory(root: Path = _ROOT) -> int | None:
    """Bytes that are free on the first GPU, None without one; on a Jetson those of its one memory."""
    library, found = _driver_library(), driver(root)
    if library is None or not found.gpus:
        return None
    available = available_memory(root)
    if jetson(root) and available:
        return available  # the driver does not count what the system's caches would give back
    return _free_memory(library, _number(library.cuDeviceGet, 0) or 0)


def available_memory(root: Path = _ROOT) -> int | None:
    """Bytes that the system can give a program, those of its caches among them; None where unknown."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(available[1]) << 10 if available else None


def pci_bus() -> str | None:
    """Where the first GPU of CUDA sits, as NVML writes it, such as "0000:65:00.0"; None without one."""
    library = _driver_library()
    if library is None or library.cuInit(0):
        return None
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    device = _number(library.cuDeviceGet, 0)
    failed = device is None or library.cuDeviceGetPCIBusId(name, _NAME_LENGTH, device)
    return None if failed else name.value.decode()


def jetson(root: Path = _ROOT) -> Jetson | None:
    """The Jetson that this is, or None."""
    model = _text(root / "proc/device-tree/model").strip("\0\n ")
    release = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release"))
    if not release and "Jetson" not in model:
        return None
    mode = re.search(r"Power Mode: *(\S+)", _output("nvpmodel", "-q") or "")
    return Jetson(
        model=model or None,
        l4t=f"{release[1]}.{release[2]}" if release else None,
        jetpack=_JETPACK_OF_L4T.get(int(release[1])) if release else None,
        power_mode=mode[1] if mode else None,
    )


def processor(root: Path = _ROOT) -> str:
    """The processor's name, "unknown" where the system does not say."""
    named = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or "unknown"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def system() -> str:
    """Operating system and architecture, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def version(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the checkout that this package runs from, with + where tracked files differ, or None."""
    here = Path(__file__)
    if not _output("git", "ls-files", "--error-unmatch", here.name, folder=here.parent):
        return None  # installed, perhaps below somebody else's repository
    head = _output("git", "rev-parse", "--short", "HEAD", folder=here.parent)
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", folder=here.parent)
    return head + "+" * bool(changed) if head else None


def _gpu_document(found: Driver) -> dict[str, Any]:
    gpu = found.gpus[0]
    return {
        "name": gpu.name,
        "compute_capability": "{}.{}".format(*gpu.capability),
        "memory_mib": gpu.memory >> 20,
        "driver": found.release,
        "cuda": "{}.{}".format(*found.cuda) if found.cuda else None,
    }


def _driver_library() -> Any:
    """The driver's library, or None where it cannot be loaded."""
    try:
        return ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        return None


def _gpu(library: Any, index: int) -> Gpu:
    handle = _number(library.cuDeviceGet, index) or 0
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    library.cuDeviceGetName(name, _NAME_LENGTH, handle)
    memory = ctypes.c_size_t()
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    major = _number(library.cuDeviceGetAttribute, _CAPABILITY_MAJOR, handle) or 0
    minor = _number(library.cuDeviceGetAttribute, _CAPABILITY_MINOR, handle) or 0
    return Gpu(name.value.decode(errors="replace"), (major, minor), memory.value)


def _free_memory(library: Any, device: int) -> int | None:
    """What the driver counts as free, asked in the primary context."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    library.cuCtxPushCurrent_v2(context)
    failed = library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    library.cuCtxPopCurrent_v2(ctypes.byref(context))
    library.cuDevicePrimaryCtxRelease_v2(device)
    return None if failed else free.value


def _number(function: Any, *arguments: int) -> int | None:
    """The int that a driver call writes to its first argument; None where it fails."""
    value = ctypes.c_int()
    return None if function(ctypes.byref(value), *arguments) else value.value


def _error(library: Any, status: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorName(status, ctypes.byref(text))
    return f"{text.value.decode()} ({status})" if text.value else f"CUDA error {status}"


def _kernel_driver(root: Path) -> str | None:
    found = re.search(r"^NVRM version:.*?\s(\d+\.[\d.]+)", _text(root / "proc/driver/nvidia/version"), re.M)
    return found[1] if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _output(*command: str, folder: Path | None = None) -> str | None:
    """What ``command`` prints, stripped; None where it is absent, fails or hangs."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
