"""Builds the stub driver and, on it, the real pycuda: ``python -m tests.driver.build``, once.

pycuda ships as source that needs CUDA's headers and a libcuda. The headers come with pip's CUDA packages, the
libcuda is the stub. What is built lies in build/driver, under a name made of all that it is made of. It takes
half a minute of two cores; where there is no compiler nothing is built, and the tests that need it say so.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgefill.kernels.compile import read_sources
from tests.kernels.host import HostKernels

PYCUDA = "2026.1"
_HERE, _ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
_HOST = _ROOT / "tests" / "kernels" / "host"
_CACHE = _ROOT / "build" / "driver"
_BOOST = "bpl-subset/bpl_subset"
_DEFINES = (  # what pycuda's own setup.py gives for the Boost that it ships
    "BOOST_ALL_NO_LIB=1", "BOOST_THREAD_BUILD_DLL=1", "BOOST_MULTI_INDEX_DISABLE_SERIALIZATION=1",
    "BOOST_PYTHON_SOURCE=1", "boost=pycudaboost", "BOOST_THREAD_DONT_USE_CHRONO=1", "PYGPU_PACKAGE=pycuda",
    "PYGPU_PYCUDA=1",
)  # fmt: skip


class CannotBuild(Exception):
    """What is missing on this machine."""


def compiler() -> list[str]:
    """The C++ compiler, which CXX names. Raises CannotBuild."""
    command = shlex.split(os.environ.get("CXX", "c++"))
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        raise CannotBuild("the stub driver needs Linux and a C++ compiler")
    return command


def headers() -> Path:
    """The folder of cuda.h and cudaProfiler.h. Raises CannotBuild."""
    spec = find_spec("nvidia")
    packages = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    folders = [found for package in packages for found in sorted(package.glob("*/include"))]
    for folder in [*folders, Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"]:
        if all((folder / name).is_file() for name in ("cuda.h", "cudaProfiler.h")):
            return folder
    raise CannotBuild("CUDA's headers are not here: pip install nvidia-cuda-runtime nvidia-cuda-profiler-api")


def pycuda_folder() -> Path:
    """Where pycuda is, or would be, with the extension that was compiled for this Python."""
    parts = (PYCUDA, sysconfig.get_config_var("SOABI"), np.__version__, str(headers()))
    return _CACHE / f"pycuda-{hashlib.sha256(' '.join(map(str, parts)).encode()).hexdigest()[:12]}"


def stub_folder() -> Path:
    """Where the stub and the host's build of the kernels are, or would be."""
    files = [*_stub_sources(), *_HOST.iterdir(), Path(__file__)]
    content = b"".join(path.read_bytes() for path in sorted(files) if path.is_file())
    content += "".join(read_sources().values()).encode()
    return _CACHE / f"stub-{hashlib.sha256(content).hexdigest()[:12]}"


def built() -> tuple[Path, Path]:
    """The folders of the stub and of pycuda. Raises CannotBuild where they are not there yet."""
    compiler()
    folders = stub_folder(), pycuda_folder()
    if not all((folder / "complete").exists() for folder in folders):
        raise CannotBuild("the stub driver is not built: python -m tests.driver.build (make test does it)")
    return folders


def build() -> None:
    """Builds what is not there. Raises CannotBuild."""
    command = compiler()
    for folder, make in ((pycuda_folder(), _build_pycuda), (stub_folder(), _build_stub)):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(command, folder)
            (folder / "complete").touch()


def _build_pycuda(command: list[str], folder: Path) -> None:
    """The extension without optimisation, which takes a third of the time, and the Python files beside it."""
    source, objects, package = _pycuda_source(), folder / "objects", folder / "pycuda"
    objects.mkdir()
    found = [*source.glob(f"{_BOOST}/libs/**/*.cpp")]
    boost = [path for path in found if "thread/src" not in str(path) or path.parent.name == "pthread"]
    own = [source / "src" / name for name in ("wrapper/wrap_cudadrv.cpp", "wrapper/mempool.cpp")]
    own += [source / "src" / "cpp" / name for name in ("cuda.cpp", "bitlog.cpp")]
    include = (
        source / "src/cpp",
        source / _BOOST,
        headers(),
        np.get_include(),
        sysconfig.get_path("include"),
    )
    flags = [*(f"-D{define}" for define in _DEFINES), *(f"-I{path}" for path in include)]
    options = [*command, "-O0", "-w", "-fPIC", "-fwrapv", "-DNDEBUG", *flags, "-c"]
    jobs = [
        [*options, str(path), "-o", str(objects / f"{number}.o")]
        for number, path in enumerate([*own, *boost])
        if path.name != "once_atomic.cpp"
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, jobs))
    shutil.copytree(source / "pycuda", package)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    linked = ["-Wl,-z,lazy", "-o", str(package / f"_driver{suffix}")]
    _run([*command, "-shared", *map(str, objects.glob("*.o")), *linked])
    _run([*options[:-1], "-shared", str(source / "src/wrapper/_pvt_struct_v3.cpp"), "-o",
          str(package / f"_pvt_struct{suffix}")])  # fmt: skip
    shutil.rmtree(objects)


def _build_stub(command: list[str], folder: Path) -> None:
    """libcuda.so.1, and the kernels for it to run. The calls of pycuda that it lacks are refused."""
    sources = [str(path) for path in _stub_sources() if path.suffix == ".cpp"]
    lacking = folder / "lacking.cpp"
    shared = [*command, "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra"]
    named = ["-Wl,-soname,libcuda.so.1", f"-I{headers()}"]
    library = folder / "libcuda.so.1"
    _run([*shared, *named, *sources, "-ldl", "-o", str(library)])
    (extension,) = (pycuda_folder() / "pycuda").glob("_driver*")
    wanted = set(_symbols(extension, "--undefined-only")) - set(_symbols(library, "--defined-only"))
    lines = [
        f'extern "C" int {name}() {{ return 801; }}  // CUDA_ERROR_NOT_SUPPORTED' for name in sorted(wanted)
    ]
    lacking.write_text("\n".join(lines) + "\n")
    _run([*shared, *named, *sources, str(lacking), "-ldl", "-o", str(library)])
    HostKernels(folder)


def _pycuda_source() -> Path:
    source = _CACHE / f"pycuda-{PYCUDA}"
    if not source.is_dir():
        archive = _CACHE / f"{source.name}.tar.gz"
        if not archive.is_file():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pycuda"]
            try:
                _run([*pip, "--dest", str(_CACHE), f"pycuda=={PYCUDA}"])
            except RuntimeError as error:
                raise CannotBuild(f"pycuda {PYCUDA} cannot be downloaded") from error
        with tarfile.open(archive) as files:
            files.extractall(_CACHE, filter="data")
        (source / _BOOST / "pycudaboost").symlink_to("boost")  # as pycuda's setup.py has it
    return source


def _stub_sources() -> Iterable[Path]:
    return sorted((_HERE / "libcuda").iterdir())


def _symbols(library: Path, which: str) -> list[str]:
    """The driver's calls among the symbols of ``library``."""
    listed = subprocess.run(["nm", "-D", which, str(library)], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in listed.stdout.splitlines()]
    return [name for name in names if name.startswith("cu") and name[2:3].isupper()]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr or done.stdout}")


if __name__ == "__main__":
    try:
        build()
    except CannotBuild as missing:
        print(f"the tests of the GPU path will be skipped: {missing}")
