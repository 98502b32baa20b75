"""What has to hold on a GPU before any of its timings mean something; each check says what it measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgefill.bundle import Bundle, Manifest
from edgefill.completion.arrays import pixel_task
from edgefill.completion.backends import Backend, Footprint
from edgefill.completion.backends.device.executors import Bound
from edgefill.completion.backends.device.search import DeviceSearch
from edgefill.completion.backends.onnx_runtime import OnnxRuntimeBackend
from edgefill.completion.latents import Prior
from edgefill.completion.search import Evaluation, SearchState, Task, take_step
from edgefill.completion.settings import SOLVERS, SearchSettings
from edgefill.errors import BackendUnavailable
from edgefill.export.engines.recipe import static
from edgefill.export.engines.store import Engines
from edgefill.images import from_unit
from edgefill.kernels.device import Device
from edgefill.kernels.launcher import Kernels

Opened = Callable[..., Backend]  # (graph=True) → the backend that is checked
SIZES = (1, 31, 32, 33, 100, 1023, 1024, 1025, 10**6)
_RUNS = 2000
_GRADIENT_COSINE = {"fp32": 0.9999, "fp16": 0.999}
_LOSS = {"fp32": 1e-3, "fp16": 0.02}  # relative


@dataclass(frozen=True)
class Check:
    """One thing that was proven, refuted, or could not be tried (``passed`` is None)."""

    name: str
    passed: bool | None
    measured: str


def checked(name: str, measure: Callable[[], tuple[bool, str]]) -> Check:
    """The outcome of ``measure``; an exception is a failure with its words, and the program goes on."""
    try:
        passed, measured = measure()
    except Exception as error:  # noqa: BLE001  whatever a driver or a library throws belongs into the report
        return Check(name, False, f"{type(error).__name__}: {error}")
    return Check(name, bool(passed), measured)


def kernel_checks(device: Device) -> Iterator[Check]:
    """Each solver's kernel against NumPy: three rows of every size, one of them broken."""
    for solver, settings in SOLVERS.items():
        for z_dim in SIZES:
            yield checked(
                f"kernel {solver}, {z_dim} numbers a row", lambda s=settings, z=z_dim: _kernel(device, s, z)
            )


def _kernel(device: Device, settings: SearchSettings, z_dim: int) -> tuple[bool, str]:
    state, found = _random_state(settings, z_dim)
    expected = replace(state, **{name: getattr(state, name).copy() for name in _ARRAYS})
    expected.allow(1)
    with device:
        fixed = _FixedEvaluation(device, found)
        search = DeviceSearch(_model_of(z_dim), len(state.z), device, fixed, Kernels(device))
        state.allow(1)
        search.upload(state)
        search.step()
        search.download(state)
        search.close()
    take_step(expected, found)
    error = max(_largest(getattr(state, name), getattr(expected, name)) for name in _ARRAYS)
    return error <= 1e-6, f"largest difference {error:.2g}"


_ARRAYS = (
    "z", "first", "second", "best_z", "best_loss", "best_contextual", "best_perceptual", "mark", "energy",
    "marked_at", "steps", "status",
)  # fmt: skip


def _random_state(settings: SearchSettings, z_dim: int) -> tuple[SearchState, Evaluation]:
    """Row 0 and 1 are searching, at other steps; row 2 has a gradient that is not finite."""
    rng, rows = np.random.default_rng(z_dim), 3

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    model = _model_of(z_dim)
    pictures, known = np.zeros((rows, 8, 8, 1), np.uint8), np.ones((rows, 8, 8), bool)
    task = pixel_task(pictures, known, model, settings)
    state = SearchState.start(task, settings, range(rows), Prior.of(model))
    state.first, state.second = draw(rows, z_dim), np.abs(draw(rows, z_dim))
    state.steps, state.energy = np.array([0, 7, 3], np.int32), draw(rows)
    found = Evaluation(np.abs(draw(rows)) * 300, draw(rows, z_dim) * 50, draw(rows), draw(rows))
    found.gradient[2, -1] = np.nan
    return state, found


def executor_checks(bundle: Bundle, precision: str, opened: Opened) -> Iterator[Check]:
    """One executor against ONNX Runtime in fp32 on the CPU, and against itself."""
    try:
        opened().close()
    except BackendUnavailable as error:
        yield Check("is there", None, str(error))
        return
    yield checked("loss and gradient", lambda: _step(bundle, precision, opened()))
    yield checked("200 steps, against 200 on the CPU", lambda: _search(bundle, precision, opened()))
    yield checked("graph on and off, to the bit", lambda: _graph(bundle, opened))
    yield checked(f"memory over {_RUNS} runs", lambda: _memory(bundle, opened(), Device()))

    yield _shared_context(bundle, opened)


def timing_check(bundle: Bundle, precision: str) -> Check:
    """Whether TensorRT builds an engine again in a third of the time, by its own earlier measurements."""

    def measure() -> tuple[bool, str]:
        with TemporaryDirectory() as folder:
            engines = Engines(bundle, "tensorrt", precision=precision, folder=Path(folder) / "engines")
            first, again = (
                engines.build("step", static(1), force=True).sidecar.build_seconds for _ in range(2)
            )
        return 3 * again <= first, f"{first:.2f} s at first, {again:.2f} s again"

    return checked("timing cache", measure)


def _shared_context(bundle: Bundle, opened: Opened) -> Check:
    name = "100 turns with PyTorch in one context"
    try:
        import torch
    except ImportError as error:
        return Check(name, None, str(error))
    if not torch.cuda.is_available():
        return Check(name, None, "PyTorch sees no GPU")

    def measure() -> tuple[bool, str]:
        with closing(opened()) as backend:
            alone = _searched(bundle, backend, 100)
            shared = _started(bundle, 100)
            ones = torch.ones(256, 256, device="cuda")
            for _ in range(100):
                backend.solve(shared, 1)
                ones = ones @ ones / 256
        same = np.array_equal(alone.z, shared.z) and bool((ones == 1).all())
        return same, "z after 100 steps, and PyTorch's product of ones"

    return checked(name, measure)


def _step(bundle: Bundle, precision: str, backend: Backend) -> tuple[bool, str]:
    task, latents = _case(bundle, 8)
    with closing(backend):
        found = backend.evaluate(latents, task)
    expected = OnnxRuntimeBackend(bundle).evaluate(latents, task)
    loss = float(np.max(np.abs(found.loss - expected.loss) / expected.loss))
    norms = np.linalg.norm(found.gradient, axis=1) * np.linalg.norm(expected.gradient, axis=1)
    cosine = float(np.min((found.gradient * expected.gradient).sum(axis=1) / norms))
    passed = loss <= _LOSS[precision] and cosine >= _GRADIENT_COSINE[precision]
    return passed, f"loss within {loss:.2g} of itself, cosine of the gradient at least {cosine:.6f}"


def _search(bundle: Bundle, precision: str, backend: Backend) -> tuple[bool, str]:
    with closing(backend):
        there = _searched(bundle, backend, 200)
    here = _searched(bundle, OnnxRuntimeBackend(bundle), 200)
    change = float(np.max(np.abs(there.best_loss - here.best_loss) / here.best_loss))
    return change <= 0.05, f"final loss within {change:.2%} of the CPU's, picture by picture"


def _graph(bundle: Bundle, opened: Opened) -> tuple[bool, str]:
    results = []
    for graph in (True, False):
        backend = opened(graph=graph)
        with closing(backend):
            results.append(_searched(bundle, backend, 100))
    return np.array_equal(results[0].z, results[1].z), "z after 100 steps"


def _memory(bundle: Bundle, backend: Backend, device: Device) -> tuple[bool, str]:
    """Free memory after a tenth of the runs against that after all of them."""
    task, _ = _case(bundle, 1)
    settings = SearchSettings(steps=10)
    free = []
    with closing(backend):
        for run in range(_RUNS):
            backend.solve(SearchState.start(task, settings, [run], Prior.of(bundle.manifest)), 10)
            if run in (_RUNS // 10, _RUNS - 1):
                with device:
                    free.append(device.free_memory())
    grown = free[0] - free[1]
    return grown <= 0, f"{grown / 1e6:+.1f} MB after the first {_RUNS // 10}"


def sanitizer_checks() -> Iterator[Check]:
    """The kernels' checks again under each tool of compute-sanitizer, where it is there."""
    tools = ("memcheck", "racecheck", "initcheck", "synccheck")
    if shutil.which("compute-sanitizer") is None:
        yield from (
            Check(f"compute-sanitizer {tool}", None, "compute-sanitizer is not there") for tool in tools
        )
        return
    for tool in tools:
        yield checked(f"compute-sanitizer {tool}", lambda tool=tool: _sanitizer(tool))


def _sanitizer(tool: str) -> tuple[bool, str]:
    command = [
        "compute-sanitizer",
        "--tool",
        tool,
        "--error-exitcode",
        "9",
        sys.executable,
        "-m",
        __spec__.name,
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in result.stdout.splitlines() if "ERROR SUMMARY" in line]
    return result.returncode == 0, (lines or result.stderr.splitlines() or ["no output"])[-1].strip("= ")


class _FixedEvaluation:
    """An executor that has found ``found`` already: its run copies that to where the step's outputs lie."""

    runtime = "fixed"

    def __init__(self, device: Device, found: Evaluation) -> None:
        self._device, self._found = device, found

    def capacity(self, graph: str, rows: int) -> int:
        return rows

    def bind(self, graph: str, batch: int, addresses: Mapping[str, int]) -> Bound:
        places = {name: addresses["grad_z" if name == "gradient" else name] for name in Evaluation._fields}
        sources = {name: self._pinned(getattr(self._found, name)) for name in Evaluation._fields}
        device = self._device

        class Copies:
            capturable = False

            def enqueue(self) -> None:
                for name, address in places.items():
                    device.upload(address, sources[name])

        return Copies()

    def footprint(self) -> Footprint:
        return Footprint()

    def close(self) -> None:
        """Holds nothing."""

    def _pinned(self, array: np.ndarray) -> np.ndarray:
        memory = self._device.pinned(array.nbytes).view(np.float32)
        memory[:] = array.ravel()
        return memory


@contextmanager
def closing(backend: Backend) -> Iterator[Backend]:
    """``backend``, closed when the block ends."""
    try:
        yield backend
    finally:
        backend.close()


def _model_of(z_dim: int) -> Manifest:
    return Manifest("kernels", z_dim=z_dim, channels=1, height=8, width=8)


def _case(bundle: Bundle, rows: int) -> tuple[Task, np.ndarray]:
    model = bundle.manifest
    drawn = OnnxRuntimeBackend(bundle).generate(Prior.of(model).latents(range(rows)))
    noisy = drawn + np.random.default_rng(0).normal(0, 0.2, drawn.shape)  # as far from G as photographs are
    pictures, known = from_unit(noisy.transpose(0, 2, 3, 1)), np.ones((rows, model.height, model.width), bool)
    known[:, model.height // 4 : -model.height // 4, model.width // 4 : -model.width // 4] = False
    latents = Prior.of(bundle.manifest).latents(range(1000, 1000 + rows))
    return pixel_task(pictures, known, bundle.manifest, SearchSettings()), latents


def _started(bundle: Bundle, steps: int) -> SearchState:
    task, _ = _case(bundle, 8)
    return SearchState.start(task, SearchSettings(steps=steps), range(8), Prior.of(bundle.manifest))


def _searched(bundle: Bundle, backend: Backend, steps: int) -> SearchState:
    state = _started(bundle, steps)
    backend.solve(state, steps)
    return state


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    both = np.isfinite(found) & np.isfinite(expected)
    if not np.array_equal(found[~both], expected[~both], equal_nan=True):
        return float("inf")
    return float(np.max(np.abs(found[both] - expected[both]), initial=0))


if __name__ == "__main__":  # what compute-sanitizer runs: small sizes, since it is slow
    SIZES = (1, 33, 100, 1025)
    failed = [check for check in kernel_checks(Device()) if not check.passed]
    sys.exit("\n".join(map(str, failed)) or 0)
