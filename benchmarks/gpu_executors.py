"""An executor against ONNX Runtime in fp32 on the CPU, and against itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.gpu_checks import Check, checked
from edgefill.errors import BackendUnavailable
from edgefill.export.engines.recipe import static
from edgefill.export.engines.store import Engines
from edgefill.kernels.device import Device, open_device
from edgefill.methods.feed_forward.network import draw
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_task
from edgefill.methods.latent.search import SearchState, Task
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.bundle import Bundle
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Runtime
from edgefill.runtimes.onnx_runtime import OnnxRuntime

Opened = Callable[..., Runtime]  # (graph=True) → the runtime that is checked
_RUNS = 2000
_ROWS, _PASSES = (1, 4, 16), 20  # frames that a network of one pass is shown at once
_PIXEL = {"fp32": 1e-3, "fp16": 0.05}
_GRADIENT_COSINE = {"fp32": 0.9999, "fp16": 0.999}
_LOSS = {"fp32": 1e-3, "fp16": 0.02}  # relative


def executor_checks(bundle: Bundle, precision: str, opened: Opened) -> Iterator[Check]:
    """One executor against ONNX Runtime in fp32 on the CPU, and against itself."""
    if missing := _missing(opened):
        yield missing
        return
    yield checked("loss and gradient", lambda: _step(bundle, precision, opened()))
    yield checked("200 steps, against 200 on the CPU", lambda: _search(bundle, precision, opened()))
    yield checked("graph on and off, to the bit", lambda: _graph(bundle, opened))
    yield checked(f"memory over {_RUNS} runs", lambda: _memory(bundle, opened(), open_device()))

    yield _shared_context(bundle, opened)


def one_pass_checks(bundle: Bundle, precision: str, opened: Opened) -> Iterator[Check]:
    """A network of one pass against ONNX Runtime in fp32 on the CPU, at several batches, with their times."""
    if missing := _missing(opened):
        yield missing
        return
    for rows in _ROWS:
        name = f"{rows} frames at once"
        yield checked(name, partial(_one_pass, bundle, precision, opened, rows))


def _missing(opened: Opened) -> Check | None:
    """The check that says why there is no such backend here; None where there is one."""
    try:
        opened().close()
    except BackendUnavailable as error:
        return Check("is there", None, str(error))
    return None


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
        with closing(opened()) as runtime:
            alone = _searched(bundle, runtime, 100)
            shared = _started(bundle, 100)
            ones = torch.ones(256, 256, device="cuda")
            for _ in range(100):
                runtime.solve(shared, 1)
                ones = ones @ ones / 256
        same = np.array_equal(alone.z, shared.z) and bool((ones == 1).all())
        return same, "z after 100 steps, and PyTorch's product of ones"

    return checked(name, measure)


def _one_pass(bundle: Bundle, precision: str, opened: Opened, rows: int) -> tuple[bool, str]:
    random, (channels, height, width) = np.random.default_rng(0), bundle.manifest.picture_shape
    picture = random.uniform(-1, 1, (rows, channels, height, width)).astype(np.float32)
    known = (random.random((rows, 1, height, width)) < 0.7).astype(np.float32)
    seconds = []
    with closing(opened()) as runtime:
        for _ in range(_PASSES):
            begin = time.perf_counter()
            found = draw(runtime, bundle.manifest, picture, known)
            seconds.append(time.perf_counter() - begin)
    error = float(np.abs(found - draw(OnnxRuntime(bundle), bundle.manifest, picture, known)).max())
    milliseconds = 1e3 * statistics.median(seconds[1:])
    return error <= _PIXEL[precision], f"within {error:.2g} of 2; {milliseconds:.3f} ms from host to host"


def _step(bundle: Bundle, precision: str, runtime: Runtime) -> tuple[bool, str]:
    task, latents = _case(bundle, 8)
    with closing(runtime):
        found = evaluate(runtime, latents, task)
    expected = evaluate(OnnxRuntime(bundle), latents, task)
    loss = float(np.max(np.abs(found.loss - expected.loss) / expected.loss))
    norms = np.linalg.norm(found.gradient, axis=1) * np.linalg.norm(expected.gradient, axis=1)
    cosine = float(np.min((found.gradient * expected.gradient).sum(axis=1) / norms))
    passed = loss <= _LOSS[precision] and cosine >= _GRADIENT_COSINE[precision]
    return passed, f"loss within {loss:.2g} of itself, cosine of the gradient at least {cosine:.6f}"


def _search(bundle: Bundle, precision: str, runtime: Runtime) -> tuple[bool, str]:
    with closing(runtime):
        there = _searched(bundle, runtime, 200)
    here = _searched(bundle, OnnxRuntime(bundle), 200)
    change = float(np.max(np.abs(there.best_loss - here.best_loss) / here.best_loss))
    return change <= 0.05, f"final loss within {change:.2%} of the CPU's, picture by picture"


def _graph(bundle: Bundle, opened: Opened) -> tuple[bool, str]:
    results = []
    for graph in (True, False):
        runtime = opened(graph=graph)
        with closing(runtime):
            results.append(_searched(bundle, runtime, 100))
    return np.array_equal(results[0].z, results[1].z), "z after 100 steps"


def _memory(bundle: Bundle, runtime: Runtime, device: Device) -> tuple[bool, str]:
    """Free memory after a tenth of the runs against that after all of them."""
    task, _ = _case(bundle, 1)
    settings = SearchSettings("adam", steps=10)
    free = []
    with closing(runtime):
        for run in range(_RUNS):
            runtime.solve(SearchState.start(task, settings, [run], Prior.of(bundle.manifest)), 10)
            if run in (_RUNS // 10, _RUNS - 1):
                with device:
                    free.append(device.free_memory())
    grown = free[0] - free[1]
    return grown <= 0, f"{grown / 1e6:+.1f} MB after the first {_RUNS // 10}"


@contextmanager
def closing(runtime: Runtime) -> Iterator[Runtime]:
    """``runtime``, closed when the block ends."""
    try:
        yield runtime
    finally:
        runtime.close()


def _case(bundle: Bundle, rows: int) -> tuple[Task, np.ndarray]:
    model = bundle.manifest
    drawn = generate(OnnxRuntime(bundle), Prior.of(model).latents(range(rows)))
    noisy = drawn + np.random.default_rng(0).normal(0, 0.2, drawn.shape)  # as far from G as photographs are
    pictures, known = from_unit(noisy.transpose(0, 2, 3, 1)), np.ones((rows, model.height, model.width), bool)
    known[:, model.height // 4 : -model.height // 4, model.width // 4 : -model.width // 4] = False
    latents = Prior.of(bundle.manifest).latents(range(1000, 1000 + rows))
    return pixel_task(pictures, known, bundle.manifest, SearchSettings()), latents


def _started(bundle: Bundle, steps: int) -> SearchState:
    task, _ = _case(bundle, 8)
    return SearchState.start(task, SearchSettings("adam", steps=steps), range(8), Prior.of(bundle.manifest))


def _searched(bundle: Bundle, runtime: Runtime, steps: int) -> SearchState:
    state = _started(bundle, steps)
    runtime.solve(state, steps)
    return state
