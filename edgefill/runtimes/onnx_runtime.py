"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from edgefill.errors import BackendUnavailable, EdgefillError, ModelError
from edgefill.methods.latent.search import Evaluation, Task
from edgefill.model.manifest import COMPLETION, FIT
from edgefill.runtimes import BackendInfo, Footprint
from edgefill.runtimes.host import HostBackend

if TYPE_CHECKING:
    from edgefill.model.bundle import Bundle

_PROVIDER = "CPUExecutionProvider"
# In the order of Evaluation.
_OUTPUTS = {
    FIT: ("loss", "grad_z", "contextual"),
    "step": ("loss", "grad_z", "contextual", "perceptual"),
}
_SILENT_BUT_ERRORS = 3


class OnnxRuntimeBackend(HostBackend):
    """The graphs of ``bundle`` in ONNX Runtime, each opened when it is first needed."""

    def __init__(self, bundle: Bundle, *, precision: str | None = None, threads: int | None = None) -> None:
        self._bundle, self._precision = bundle, precision
        self._threads = threads or _available_cores()
        self._sessions: dict[str, Any] = {}
        self._load_seconds = 0.0
        if _PROVIDER not in onnxruntime.get_available_providers():
            raise BackendUnavailable(
                f"this ONNX Runtime has {onnxruntime.get_available_providers()}, expected {_PROVIDER}; "
                'install it with: pip install "edgefill[cpu]"'
            )
        device = f"CPU, {self._threads} thread{'s' * (self._threads > 1)}"
        self.info = BackendInfo("cpu", f"ONNX Runtime {onnxruntime.__version__}", device)

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        return self._run("encoder", ("z",), {"picture": picture, "known": known})[0]

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        interface = self._bundle.manifest.passed
        feeds = interface.feeds(picture, known)
        (output,) = self._run(COMPLETION, (interface.output.name,), feeds)
        completed: np.ndarray = interface.drawn({interface.output.name: output})
        return completed

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        found = self._run(task.graph, _OUTPUTS[task.graph], {"z": z, **task.inputs})
        without_d = (np.zeros(len(z), np.float32),) if task.graph == FIT else ()
        return Evaluation(*found, *without_d)

    def generate(self, z: np.ndarray) -> np.ndarray:
        return self._run("generator", ("generated",), {"z": z})[0]

    def footprint(self) -> Footprint:
        """The size of the ONNX files that were needed, and how long they took to load."""
        size = sum(len(self._bundle.graph(name, self._precision)) for name in self._sessions)
        return Footprint(plan_bytes=size, load_seconds=self._load_seconds)

    def close(self) -> None:
        self._sessions.clear()

    def _run(self, name: str, outputs: tuple[str, ...], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        with _reported(name, self._bundle):
            if name not in self._sessions:
                begin = time.perf_counter()
                self._sessions[name] = self._open(name)
                self._load_seconds += time.perf_counter() - begin
            results: list[np.ndarray] = self._sessions[name].run(outputs, inputs)
        return results

    def _open(self, name: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.enable_mem_pattern = name != COMPLETION  # One is kept for every size, and tiles have many.
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _SILENT_BUT_ERRORS
        # Threads wait actively inside a run, which is a quarter faster, but not between runs, where the
        # cores belong to others.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        graph = self._bundle.graph(name, self._precision)
        return onnxruntime.InferenceSession(graph, options, providers=[_PROVIDER])


@contextmanager
def _reported(name: str, bundle: Bundle) -> Iterator[None]:
    try:
        yield
    except EdgefillError:
        raise
    except Exception as error:  # its own types, one per status, with no common parent
        raise ModelError(
            f"ONNX Runtime cannot run {name}.onnx of {bundle.path}: {error}; export the model again"
        ) from error


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
