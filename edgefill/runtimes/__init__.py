"""What runs the graphs of a model. A backend takes n steps, not one, so that a device keeps the search.

The backend that is asked for is the one that runs, or an error: only ``auto`` chooses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.machine import gpu_present

if TYPE_CHECKING:
    from edgefill.methods.latent.search import Evaluation, SearchState, Task
    from edgefill.model.bundle import Bundle

DEVICE_BACKENDS = ("tensorrt", "rtx", "cuda")  # the quickest first
BACKENDS = ("auto", *DEVICE_BACKENDS, "cpu")


@dataclass(frozen=True)
class BackendInfo:
    """What a backend is called and what it runs on, for people and for results."""

    name: str  # one of BACKENDS, or "fake"
    runtime: str  # such as "ONNX Runtime 1.31.0"
    device: str  # such as "CPU, 2 threads"
    steps_at_once: int = 1  # that one launch starts: more than 1 where a CUDA graph of steps is replayed

    def __str__(self) -> str:
        return f"{self.name} ({self.runtime}, {self.device})"


@dataclass(frozen=True)
class StepTimes:
    """How long some steps took together, in seconds."""

    host: float  # until the last of them was enqueued
    device: float  # from the first's start to the last's end where they run; on a CPU the same as host
    copies: float = 0.0  # in before and out after them, which the others do not count


@dataclass(frozen=True)
class Footprint:
    """What a backend weighs, and how long it took to get ready."""

    plan_bytes: int = 0  # of the engines, or of the ONNX files where a runtime reads those
    device_bytes: int = 0  # allocated on the device
    build_seconds: float = 0.0  # of engines that were built now; 0 where they were there
    load_seconds: float = 0.0


class Backend(Protocol):
    """The smallest interface that keeps n steps on the device."""

    @property
    def info(self) -> BackendInfo: ...

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The encoder's z, [N, Z], of what ``Evidence.seen`` gives, on the host."""

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Completed pictures [N, C, H, W] by a network of one pass, from them and ``known [N, 1, H, W]``."""

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        """What the step graph says of ``z [N, Z]``: loss, gradient and parts, on the host."""

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z), [N, C, H, W] in [-1, 1], of ``z [N, Z]``."""

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place."""

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""

    def footprint(self) -> Footprint:
        """What it weighs by now."""

    def close(self) -> None:
        """Gives back what the device holds; nothing runs afterwards."""


def open_backend(
    name: str,
    bundle: Bundle,
    *,
    precision: str | None = None,
    threads: int | None = None,
    graph: bool = True,
    engines: Path | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> Backend:
    """The backend ``name`` with the graphs of ``bundle``.

    Args:
        precision: of the graphs; see ``precision_for``.
        threads: of the CPU; None takes all cores.
        graph: whether a GPU replays its steps as one CUDA graph.
        engines: folder of TensorRT's engines, the user's cache unless given.
        say: told what a user should know, such as an engine that is built.

    Raises BackendUnavailable with the line that installs what is missing, ModelError for a broken graph.
    """
    if name not in BACKENDS:
        raise BackendUnavailable(f"there is no backend {name!r}; expected one of {', '.join(BACKENDS)}")
    if name == "cpu":
        return _open_cpu(bundle, precision, threads)

    def open_device(name: str) -> Backend:
        from edgefill.runtimes.device.backend import DeviceBackend

        own = precision or precision_for(name, bundle)
        return DeviceBackend.open(name, bundle, own, graph=graph, engines=engines, say=say)

    if name != "auto":
        return open_device(name)
    reasons = []
    for candidate in DEVICE_BACKENDS if gpu_present() else ():
        try:
            return open_device(candidate)
        except (BackendUnavailable, EngineError) as error:
            reasons.append(f"{candidate}: {error}")
    if reasons:
        say("a GPU is here, and no backend that uses it works:\n" + "\n".join(reasons))
    return _open_cpu(bundle, precision, threads)


def precision_for(name: str, bundle: Bundle) -> str:
    """What the backend ``name`` computes in unless told: fp16 on a GPU where the bundle has it."""
    halves = name in DEVICE_BACKENDS and "fp16" in bundle.precisions
    return "fp16" if halves else bundle.manifest.precision


def _open_cpu(bundle: Bundle, precision: str | None, threads: int | None) -> Backend:
    try:
        from edgefill.runtimes.onnx_runtime import OnnxRuntimeBackend
    except ImportError as error:
        raise BackendUnavailable(
            f"the backend 'cpu' needs ONNX Runtime, which cannot be imported ({error}); "
            'install it with: pip install "edgefill[cpu]"'
        ) from error
    return OnnxRuntimeBackend(bundle, precision=precision, threads=threads)
