"""What runs the graphs of a model. A runtime takes n steps of a search, not one, so that a device keeps it.

Users ask for one by the name of a backend. It is the one that runs, or an error: only ``auto`` chooses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgefill.errors import BackendUnavailable, EdgefillError
from edgefill.limits import check
from edgefill.machine import gpu_present
from edgefill.runtimes.registry import AUTO, BACKENDS, DEVICE_BACKENDS, ROWS, Row, for_the_host, row_of

if TYPE_CHECKING:
    import numpy as np

    from edgefill.methods.latent.search import SearchState
    from edgefill.model.bundle import Bundle

__all__ = [
    "BACKENDS",
    "DEVICE_BACKENDS",
    "Footprint",
    "Interrupted",
    "Runtime",
    "RuntimeInfo",
    "StepTimes",
    "open_backend",
    "precision_for",
]


@dataclass(frozen=True)
class RuntimeInfo:
    """What a runtime is called and what it runs on, for people and for results."""

    name: str  # one of BACKENDS, or "fake"
    runtime: str  # such as "ONNX Runtime 1.31.0"
    device: str  # such as "CPU, 2 threads"
    steps_at_once: int = 1  # that one launch starts: more than 1 where a CUDA graph of steps is replayed
    precision: str = "fp32"  # that the graphs compute in; another one gives other bytes
    loops: bool = False  # it sees for itself that no row runs any more, so that a turn costs what it needs

    def __str__(self) -> str:
        return f"{self.name} ({self.runtime}, {self.device}, {self.precision})"


@dataclass(frozen=True)
class StepTimes:
    """How long some steps took together, in seconds."""

    host: float  # until the last of them was enqueued
    device: float  # from the first's start to the last's end where they run; on a CPU the same as host
    copies: float = 0.0  # in before and out after them, which the others do not count
    steps: int = 0  # that were run, with those that no row needed


@dataclass(frozen=True)
class Footprint:
    """What a runtime weighs, and how long it took to get ready."""

    plan_bytes: int = 0  # of the engines, or of the ONNX files where a runtime reads those
    device_bytes: int = 0  # allocated on the device
    build_seconds: float = 0.0  # of engines that were built now; 0 where they were there
    load_seconds: float = 0.0


class Interrupted(Exception):
    """A run was ended by ``interrupt``: it has no outputs."""


class Runtime(Protocol):
    """Runs the graphs of one model; and a search, which a device keeps to itself for n steps."""

    @property
    def info(self) -> RuntimeInfo: ...

    @property
    def features(self) -> int:
        """How many numbers behind G's first layer a search may move beside z; 0 where it moves z alone.

        What takes a wider z takes both, one after the other.
        """

    @property
    def one_size(self) -> bool:
        """Whether a network that takes any size is to be shown frames of one, which engines are built for."""

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of ``graph`` by name, on the host, for ``feeds`` of the types that it declares.

        ``feeds`` may have any number of rows. A graph that takes another number at once is run as often as
        it needs. What a row gets depends on no other.
        """

    def interrupt(self) -> None:
        """Ends the ``run`` that is under way in another thread, which raises Interrupted.

        Nothing happens where there is none, or where what runs cannot be ended.
        """

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place."""

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""

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
) -> Runtime:
    """The runtime ``name``, one of BACKENDS, with the graphs of ``bundle``.

    "auto" takes the first that works of those on a GPU where there is one, then what is quickest on the CPU
    for the model's method. It goes on whatever the reason is that one does not start, and says it.

    Args:
        precision: of the graphs; see ``precision_for``.
        threads: of the CPU; None takes all cores.
        graph: whether a GPU replays its steps as one CUDA graph.
        engines: folder of TensorRT's engines, the user's cache unless given.
        say: told what a user should know, such as an engine that is built.

    Raises BackendUnavailable with the line that installs what is missing, ModelError for a broken graph.
    """

    if threads is not None:
        check("threads", threads)

    def opened(row: Row) -> Runtime:
        if not row.on_device:
            return _open_on_host(row, bundle, precision, threads)
        from edgefill.runtimes.device.runtime import DeviceRuntime

        own = precision or precision_for(row.name, bundle)
        return DeviceRuntime.open(row, bundle, own, graph=graph, engines=engines, say=say)

    if name != AUTO:
        return opened(row_of(name))
    reasons = []
    for row in ROWS if gpu_present() else ():
        if row.on_device:
            try:
                return opened(row)
            except Exception as error:  # noqa: BLE001  a driver or library may fail in any way
                reasons.append(f"{row.name}: {_reason(error)}")
    if reasons:
        say("a GPU is here, and no backend that uses it works:\n" + "\n".join(reasons))
    return _first_on_host(bundle, opened, say)


def precision_for(name: str, bundle: Bundle) -> str:
    """What the backend ``name`` computes in unless told: fp16 on a GPU where the bundle has it."""
    halves = name in DEVICE_BACKENDS and "fp16" in bundle.precisions
    return "fp16" if halves else bundle.manifest.precision


def _first_on_host(bundle: Bundle, opened: Callable[[Row], Runtime], say: Callable[[str], None]) -> Runtime:
    """The first that works; one that is installed and does not is told.

    Raises whatever the one that takes every model raises where none does.
    """
    interface = bundle.manifest.interface
    quick = interface is not None and interface.sizes.fixed is not None
    for row in for_the_host(one_size=quick):
        try:
            return opened(row)
        except BackendUnavailable:
            continue
        except Exception as error:  # noqa: BLE001  a library may fail in any way
            say(f"the backend {row.name} does not work here, the next one is taken: {_reason(error)}")
    return opened(ROWS[-1])


def _reason(error: Exception) -> str:
    """What went wrong, in one line; what edgefill raises says it itself."""
    words = " ".join(str(error).split())
    return words if isinstance(error, EdgefillError) else f"{type(error).__name__}: {words}"


def _open_on_host(row: Row, bundle: Bundle, precision: str | None, threads: int | None) -> Runtime:
    try:
        home = import_module(row.home)
    except ImportError as error:
        raise BackendUnavailable(
            f"the backend {row.name!r} needs {row.title}, which cannot be imported ({error}); "
            f"install it with: {row.install}"
        ) from error
    runtime: Runtime = home.open_runtime(bundle, precision=precision, threads=threads)
    return runtime
