"""What works on this machine, why the rest does not, and one line that mends each; for a bug report.

Every check is a function of ``Surroundings``. What is reported names no host, no user and no home folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgefill import __version__
from edgefill.extras import EXTRAS, install_line
from edgefill.runtimes.registry import ROWS, Row
from edgefill.surroundings import Surroundings

OK, MISSING, PROBLEM = "ok", "missing", "problem"

_KERNELS_NEED_CUDA = (12, 0)  # cubins of CUDA 12.0 and PTX of ISA 8.0
_DRIVERS = {12: 525, 13: 580}  # the first driver release that runs this major release of CUDA
_REQUIRED = ("numpy", "pillow")
_NAME_ENDS = r"(?![\w.-])"
_USERS = r"([/\\](?:home|Users|media|mnt|data|scratch)[/\\])"  # folders of folders named after users


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``status`` is ok, missing or problem; ``mend`` is what to do, if anything."""

    subject: str
    status: str
    found: str
    mend: str = ""


def examine(around: Surroundings) -> list[Finding]:
    """Everything there is to say about ``around``, machine first, then backends, extras and models."""
    findings = [
        *_machine(around),
        *_gpu(around),
        *(_package(name, around) for name in around.packages),
        *_traps(around),
        *_folders(around),
        *_tools(around),
        *(_backend(row, around) for row in ROWS),
        *(_extra(name, around) for name in EXTRAS),
        *_models(around),
    ]
    return [replace(it, found=redact(it.found), mend=redact(it.mend)) for it in findings]


def redact(text: str) -> str:
    """``text`` with ~ for the home folder and USER for the user's name in /mnt/NAME and the like."""
    try:
        home = str(Path.home())
    except RuntimeError:
        home = ""
    user = os.environ.get("USER") or os.environ.get("USERNAME") or ""
    if len(home) > 1:
        text = re.sub(re.escape(home) + _NAME_ENDS, "~", text)
    return re.sub(_USERS + re.escape(user) + _NAME_ENDS, r"\1USER", text) if user else text


def _machine(around: Surroundings) -> Iterator[Finding]:
    yield Finding("edgefill", OK, __version__ + (f", commit {around.commit}" if around.commit else ""))
    yield Finding("python", OK, around.python)
    yield Finding("system", OK, around.system)
    if around.jetson:
        board = around.jetson
        said = [board.model, board.l4t and f"L4T {board.l4t}", board.jetpack and f"JetPack {board.jetpack}"]
        said += [board.power_mode and f"power mode {board.power_mode}"]
        yield Finding("jetson", OK, ", ".join(part for part in said if part))


def _gpu(around: Surroundings) -> Iterator[Finding]:
    driver = around.driver
    if not driver.gpus:
        container = "docker run --runtime nvidia" if around.jetson else "docker run --gpus all"
        if driver.cuda or driver.release:
            hint = f"see what nvidia-smi and CUDA_VISIBLE_DEVICES say; in a container: {container}"
            yield Finding("gpu", PROBLEM, driver.problem, hint)
        else:
            hint = f"where there is an NVIDIA GPU, install its driver; in a container: {container}"
            yield Finding("gpu", MISSING, driver.problem or "none", hint)
    for gpu in driver.gpus:
        yield Finding("gpu", OK, f"{gpu.name}, sm_{gpu.sm}, {gpu.memory / 2**30:.1f} GiB")
    if driver.cuda:
        release = f"release {driver.release}, " if driver.release else ""
        yield Finding("driver", OK, f"{release}runs CUDA up to {_dotted(driver.cuda)}")
    found, mend = next(_kernel_obstacles(around), (f"compiled for {_architectures(around)}", ""))
    yield Finding("kernels", PROBLEM if mend else OK, found, mend)


def _kernel_obstacles(around: Surroundings) -> Iterator[tuple[str, str]]:
    """Why the kernels that ship cannot run here, and what mends it; the nearest reason first."""
    cuda, gpus = around.driver.cuda, around.driver.gpus
    if cuda and cuda < _KERNELS_NEED_CUDA:
        found = f"they need CUDA {_dotted(_KERNELS_NEED_CUDA)}, the driver runs up to {_dotted(cuda)}"
        yield found, _newer_driver(_KERNELS_NEED_CUDA[0])
    if not around.cubins:
        yield "their compiled forms are not installed", "pip install --force-reinstall edgefill"
    elif gpus and gpus[0].sm < min(around.cubins):
        found = f"they are compiled for {_architectures(around)}; {gpus[0].name} is sm_{gpus[0].sm}"
        yield found, "complete with: --backend cpu"


def _package(name: str, around: Surroundings) -> Finding:
    package = around.package(name)
    if not package.installed:
        return Finding(name, MISSING, package.problem)
    if package.problem:
        found = f"{package.version} cannot be imported: {package.problem}".strip()
        return Finding(name, PROBLEM, found, _repair(name, around))
    providers = [its.removesuffix("ExecutionProvider") for its in package.providers]
    return Finding(name, OK, package.version + (f", providers {' '.join(providers)}" if providers else ""))


def _traps(around: Surroundings) -> Iterator[Finding]:
    """Installations that work until they do not."""
    if around.system_tensorrt:
        yield Finding(
            "tensorrt of the system",
            PROBLEM,
            f"{around.system_tensorrt} is installed, but this Python ({around.python}) does not see it",
            "/usr/bin/python3 -m venv --system-site-packages .venv",
        )
    if len(around.inference_libraries) > 1:
        places = ", ".join(map(str, around.inference_libraries))
        yield Finding(
            "libnvinfer",
            PROBLEM,
            f"{len(around.inference_libraries)} different ones may be loaded: {places}",
            "pip uninstall the one in site-packages, or take its folder off LD_LIBRARY_PATH",
        )
    if len(around.package("onnxruntime").distributions) > 1:
        yield Finding(
            "onnxruntime twice",
            PROBLEM,
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            f"pip uninstall -y onnxruntime onnxruntime-gpu && {install_line('gpu')}",
        )


def _folders(around: Surroundings) -> Iterator[Finding]:
    if around.cache is None:
        yield Finding("cache", PROBLEM, "there is no home folder", "export EDGEFILL_CACHE_DIR=FOLDER")
    elif not around.cache_writable:
        yield Finding(
            "cache", PROBLEM, f"{around.cache} cannot be written", "export EDGEFILL_CACHE_DIR=FOLDER"
        )
    else:
        yield Finding("cache", OK, str(around.cache))
    if around.engines_mode is not None:
        engines = Path(around.cache or "") / "engines"
        open_to_others = around.engines_mode & 0o077 and os.name != "nt"
        found = f"{engines} has mode {around.engines_mode:04o}"
        if open_to_others:
            yield Finding("engines", PROBLEM, f"{found}, expected 0700", f"chmod 700 {engines}")
        else:
            yield Finding("engines", OK, found)
    for name, value in around.variables.items():
        yield Finding(name, OK, value)


def _tools(around: Surroundings) -> Iterator[Finding]:
    if around.nvcc:
        yield Finding("nvcc", OK, f"{around.nvcc}, not needed: the kernels come compiled")
    else:
        yield Finding("nvcc", OK, "absent and not needed: the kernels come compiled")
    if around.package("pycuda").installed or not around.driver.gpus:
        return
    if around.cuda_header:
        yield Finding("cuda.h", OK, f"{around.cuda_header}, for building pycuda")
    else:
        toolkit = "sudo apt-get install nvidia-jetpack" if around.jetson else "install the CUDA toolkit"
        yield Finding("cuda.h", MISSING, "pycuda is built from source and needs it", toolkit)


def _backend(row: Row, around: Surroundings) -> Finding:
    subject = f"backend {row.name}"
    for status, found, mend in _obstacles(row, around):
        return Finding(subject, status, found, mend)
    if row.on_device and around.package("cuda.bindings").problem:
        slower = "ready, without CUDA graphs: cuda.bindings is missing"
        return Finding(subject, OK, slower, _install("cuda.bindings", row, around))
    return Finding(subject, OK, "ready")


def _obstacles(row: Row, around: Surroundings) -> Iterator[tuple[str, str, str]]:
    """What keeps a backend from working as (status, found, mend); the first is what to mend first."""
    runtime = around.package(row.package)
    if row.name == "rtx" and around.jetson:
        yield MISSING, "TensorRT for RTX does not support Jetson", "use --backend tensorrt"
    if row.on_device:
        if not around.driver.gpus:
            yield MISSING, "it needs an NVIDIA GPU and its driver, see gpu", ""
        for found, mend in _kernel_obstacles(around):
            yield PROBLEM, f"kernels: {found}", mend
        for gpu in around.driver.gpus[:1] if row.architectures else ():
            if gpu.sm not in row.architectures:
                known = ", ".join(f"sm_{sm}" for sm in row.architectures)
                found = f"{row.title} runs on {known}; {gpu.name} is sm_{gpu.sm}"
                yield MISSING, found, "use --backend tensorrt"
    for needed in (*_REQUIRED, row.package, *["pycuda"] * row.on_device):
        package = around.package(needed)
        if package.problem:
            found = f"{needed}: {package.problem}"
            if package.installed:
                yield PROBLEM, found, _repair(needed, around)
            yield MISSING, found, _install(needed, row, around)
    if row.provider and row.provider not in runtime.providers:
        yield MISSING, f"this ONNX Runtime has no {row.provider}", _install(row.package, row, around)
    if row.on_device and runtime.cuda and around.driver.cuda and around.driver.cuda[0] < runtime.cuda:
        found = f"{runtime.version} is built for CUDA {runtime.cuda}"
        yield PROBLEM, f"{found}, the driver runs {_dotted(around.driver.cuda)}", _newer_driver(runtime.cuda)


def _install(name: str, row: Row, around: Surroundings) -> str:
    """The line that brings the package ``name``, which the runtime ``row`` lacks."""
    if around.jetson and row.name == "cuda":
        return "onnxruntime-gpu's wheels are not made for Jetson; use --backend tensorrt"
    if around.jetson and name == "tensorrt":
        if around.system_tensorrt:
            return "/usr/bin/python3 -m venv --system-site-packages .venv"
        return "sudo apt-get install python3-libnvinfer"
    if around.jetson and name in ("pycuda", "cuda.bindings"):
        bindings = f'"cuda-bindings<{(around.driver.cuda or (12, 0))[0] + 1}"'
        return f"PATH=/usr/local/cuda/bin:$PATH pip install pycuda {bindings}"
    return row.install


def _repair(name: str, around: Surroundings) -> str:
    """The line that mends the package ``name``, which is there and cannot be imported."""
    if around.jetson and name == "tensorrt":
        return (
            "sudo apt-get install --reinstall python3-libnvinfer; in a container: docker run --runtime nvidia"
        )
    if "libcuda.so" in around.package(name).problem:
        return "it comes with the NVIDIA driver, see gpu"
    distributions = around.package(name).distributions or (name,)
    return f"pip install --force-reinstall --no-deps {' '.join(distributions)}"


def _extra(name: str, around: Surroundings) -> Finding:
    extra = EXTRAS[name]
    broken = [each for each in extra.packages if around.package(each).problem]
    absent = [each for each in broken if not around.package(each).installed]
    if absent:
        return Finding(extra.brings, MISSING, f"without {', '.join(absent)}", install_line(name))
    if broken:
        found = f"{broken[0]}: {around.package(broken[0]).problem}"
        return Finding(extra.brings, PROBLEM, found, _repair(broken[0], around))
    return Finding(extra.brings, OK, "ready")


def _models(around: Surroundings) -> Iterator[Finding]:
    for entry in around.models:
        subject = f"model {entry.name}"
        if entry.manifest is None:
            yield Finding(subject, PROBLEM, entry.problem, "copy or export it again, or remove it")
        elif not entry.manifest.is_sealed:
            unsealed = f"{entry.source}, not sealed: an edited manifest would not be noticed"
            yield Finding(subject, OK, unsealed, "export it again, which seals it")
        else:
            yield Finding(subject, OK, entry.source)


def _architectures(around: Surroundings) -> str:
    return " ".join(f"sm_{sm}" for sm in around.cubins) + " and, through PTX, newer ones"


def _newer_driver(cuda: int) -> str:
    return f"install an NVIDIA driver of release {_DRIVERS[cuda]} or newer"


def _dotted(version: tuple[int, int] | None) -> str:
    return "{}.{}".format(*version) if version else "unknown"
