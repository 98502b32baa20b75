"""The kernels against NumPy on a GPU, and under each tool of compute-sanitizer.

python -m benchmarks.gpu_kernels        # small sizes only: what compute-sanitizer runs, since it is slow
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.gpu_checks import Check, checked
from edgefill.kernels.device import Device, open_device
from edgefill.kernels.launcher import Kernels
from edgefill.kernels.solvers import SHIPPED
from edgefill.kernels.solvers.lbfgs import Pairs
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_task
from edgefill.methods.latent.search import Evaluation, SearchState, take_step
from edgefill.methods.latent.settings import SearchSettings, suited_settings
from edgefill.model.manifest import Latent, Manifest
from edgefill.runtimes import Footprint
from edgefill.runtimes.device.executors import Bound
from edgefill.runtimes.device.search import DeviceSearch

SIZES = (1, 31, 32, 33, 100, 1023, 1024, 1025, 4196, 10**6)
_SMALL = (1, 33, 100, 1025)


def kernel_checks(device: Device) -> Iterator[Check]:
    """Each solver's kernel against NumPy, three rows of every size, one of them broken; and in a loop."""
    if device.loops:
        of_a_loop = suited_settings("encoder", "lbfgs")
        yield checked("a loop on the device", lambda: _kernel(device, of_a_loop, 100, steps=9))
    else:
        yield Check("a loop on the device", None, "the driver is older than CUDA 12.4")
    for solver, settings in ((each.name, suited_settings("encoder", each.name)) for each in SHIPPED):
        for z_dim in SIZES:
            yield checked(
                f"kernel {solver}, {z_dim} numbers a row", lambda s=settings, z=z_dim: _kernel(device, s, z)
            )


def _kernel(device: Device, settings: SearchSettings, z_dim: int, *, steps: int = 1) -> tuple[bool, str]:
    """One launch; several ``steps`` are a loop's, in which rows end sooner and later."""
    state, found = _random_state(settings, z_dim)
    expected = replace(state)
    expected.put({name: array.copy() for name, array in state.arrays.items()})
    expected.allow(steps)
    with device:
        fixed = _FixedEvaluation(device, found)
        shape = _model_of(z_dim), "step", len(state.z), settings.solver
        search = DeviceSearch(*shape, device, fixed, Kernels(device))
        state.allow(steps)
        search.upload(state)
        (search.step if steps == 1 else search.captured(loops=True))()
        search.download()
        device.synchronize()
        search.take(state)
        search.close()
    while expected.pending.any():
        take_step(expected, found)
    names = expected.arrays.keys() - {"loss", "limit"}  # which are no kernel's
    error = max(_largest(state.arrays[name], expected.arrays[name]) for name in names)
    return error <= 1e-6, f"largest difference {error:.2g}"


def _random_state(settings: SearchSettings, z_dim: int) -> tuple[SearchState, Evaluation]:
    """Row 0 and 1 are searching, at other steps; row 2 has a gradient that is not finite."""
    rng, rows = np.random.default_rng(z_dim), 3

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    model = _model_of(z_dim)
    pictures, known = np.zeros((rows, 8, 8, 1), np.uint8), np.ones((rows, 8, 8), bool)
    task = pixel_task(pictures, known, model, settings)
    state = SearchState.start(task, settings, range(rows), Prior.of(model))
    state.own = {name: np.abs(draw(*array.shape)).astype(array.dtype) for name, array in state.own.items()}
    state.steps = np.array([0, 7, 3], np.int32)
    found = Evaluation(np.abs(draw(rows)) * 300, draw(rows, z_dim) * 50, draw(rows), draw(rows))
    if settings.solver.name == "lbfgs":
        moves, count = draw(*state.own["moves"].shape), np.array([0, 7, 2], np.int32)
        state.own.update(Pairs(moves, 20 * moves, 20 * (moves * moves).sum(2), count)._asdict())
        state.own["gradient_before"] = found.gradient - 20 * (state.z - state.own["z_before"])
    found.gradient[2, -1] = np.nan
    return state, found


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
            capturable, scratch = True, 0

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


def _model_of(z_dim: int) -> Manifest:
    return Manifest("kernels", Latent(z_dim, channels=1, height=8, width=8))


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative where the values are above 1; infinite where only one is a number."""
    both = np.isfinite(found) & np.isfinite(expected)
    if not np.array_equal(found[~both], expected[~both], equal_nan=True):
        return float("inf")
    scale = np.maximum(np.abs(expected[both]), 1)  # energies are sums over the row, far above 1
    return float(np.max(np.abs(found[both] - expected[both]) / scale, initial=0))


if __name__ == "__main__":
    SIZES = _SMALL
    failed = [check for check in kernel_checks(open_device()) if not check.passed]
    sys.exit("\n".join(map(str, failed)) or 0)
