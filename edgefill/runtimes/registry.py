"""The runtimes: one row each, from which the command line, ``doctor``, ``auto`` and every error take them.

A new one is a module and a row here, and its extra in pyproject.toml. A runtime of the host has in its module
``open_runtime(bundle, *, precision, threads)``; one of a device has
``open_executor(name, bundle, device, precision, *, engines, say)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgefill.errors import BackendUnavailable
from edgefill.extras import install_line

AUTO = "auto"


@dataclass(frozen=True)
class Row:
    """What has to be known of a runtime before it is loaded."""

    name: str  # as users ask for it
    title: str
    extra: str  # of edgefill, which installs it
    package: str  # that runs the graphs, as it is imported
    home: str  # the module that opens it
    on_device: bool = False
    provider: str = ""  # that ONNX Runtime must have for it
    builds_engines: bool = False  # of the graphs, before they run
    architectures: tuple[int, ...] = ()  # of the GPUs that it runs on, where it does not run on all
    quick_at_one_size: bool = False  # quicker than the last, for a network that takes one size only

    @property
    def install(self) -> str:
        """The line that installs it."""
        return install_line(self.extra)


_EXECUTORS = "edgefill.runtimes.device.executors"

ROWS = (  # on devices first, the quickest first; the last takes every model on every machine
    Row(
        "tensorrt", "TensorRT", "tensorrt", "tensorrt", f"{_EXECUTORS}.tensorrt",
        on_device=True, builds_engines=True,
    ),
    Row(
        "rtx", "TensorRT for RTX", "rtx", "tensorrt_rtx", f"{_EXECUTORS}.tensorrt",
        on_device=True, builds_engines=True, architectures=(75, 80, 86, 89, 120, 121),
    ),
    Row(
        "cuda", "ONNX Runtime on CUDA", "gpu", "onnxruntime", f"{_EXECUTORS}.onnx_runtime",
        on_device=True, provider="CUDAExecutionProvider",
    ),
    Row(
        "openvino", "OpenVINO", "openvino", "openvino", "edgefill.runtimes.openvino",
        quick_at_one_size=True,
    ),
    Row(
        "cpu", "ONNX Runtime", "cpu", "onnxruntime", "edgefill.runtimes.onnx_runtime",
        provider="CPUExecutionProvider",
    ),
)  # fmt: skip
BACKENDS = (AUTO, *(row.name for row in ROWS))
DEVICE_BACKENDS = tuple(row.name for row in ROWS if row.on_device)
LIBRARIES = tuple(row.name for row in ROWS if row.builds_engines)


def row_of(name: str) -> Row:
    """The row of ``name``. Raises BackendUnavailable that lists the names there are."""
    for row in ROWS:
        if row.name == name:
            return row
    raise BackendUnavailable(f"there is no backend {name!r}; expected one of {', '.join(BACKENDS)}")


def for_the_host(*, one_size: bool) -> list[Row]:
    """What may run a model without a device, the quickest first.

    ``one_size`` is whether it is a network of one size, which a runtime may compile for that.
    """
    hosts = [row for row in ROWS if not row.on_device]
    return sorted(hosts, key=lambda row: row.quick_at_one_size != one_size)


def choice(names: tuple[str, ...] = BACKENDS) -> str:
    """``names`` for a sentence, such as "auto, rtx or cpu"."""
    return f"{', '.join(names[:-1])} or {names[-1]}"
