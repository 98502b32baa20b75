"""What users run, on an executor: the encoder's start, the fit and the default search, from the first call.

What is here comes before every timing: a graph that fell back to single steps, steps that no row needed, a
device that a process does not give back, or threads that get each other's pictures are failures.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np

from benchmarks.gpu_checks import Check, checked, portions
from benchmarks.gpu_executors import Opened, closing
from edgefill.completion import Completer
from edgefill.kernels.device import open_device
from edgefill.methods.latent.graphs import encode, evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_evidence
from edgefill.methods.latent.search import SearchState
from edgefill.methods.latent.settings import default_settings
from edgefill.methods.latent.start import begin
from edgefill.model.bundle import Bundle
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Runtime
from edgefill.runtimes.device.search import STEPS_A_GRAPH
from edgefill.runtimes.onnx_runtime import OnnxRuntime

REPLAYS, RUNS, MANY, _THREADS, _OPENINGS = 1000, 2000, 64, 2, 5
_ROWS = 4
_COSINE = {"fp32": 0.9999, "fp16": 0.999}
_LEVELS = {"fp32": 1, "fp16": 8}  # of 255, that a drawn picture may be off
_PROGRAM = """
import sys
from edgefill.completion import load
import numpy as np
name, path, precision = sys.argv[1:]
completer = load(path, name, precision=precision, say=lambda line: None)
side = completer.model.height, completer.model.width
known = np.ones((1, *side), bool)
known[:, side[0] // 4 : -side[0] // 4] = False
completer.fill(np.full((1, *side, completer.model.channels), 99, np.uint8), known)
"""  # it closes nothing
PRELUDE = ""  # what a test runs before it


def first_checks(bundle: Bundle, name: str, precision: str, opened: Opened) -> Iterator[Check]:
    """The default search of ``bundle`` on one executor, against ONNX Runtime in fp32 on the CPU."""
    trial = _Trial(bundle, precision, opened)
    yield checked("fill as the first call, then again", trial.first_call)
    yield checked("encoder, fit and generator", trial.graphs)
    yield checked(
        "default search, looping, in graphs and in steps, to the bit, each as asked", trial.replayed
    )
    yield checked("steps run against steps needed", trial.steps)
    yield checked(f"a batch of {MANY}, then one picture", trial.few_after_many)
    yield checked(f"{_THREADS} threads", trial.threads)
    yield checked(f"{_OPENINGS} openings with PyTorch alive where it is there", trial.openings)
    yield checked(f"memory over {RUNS} default searches", trial.memory)
    yield checked("cold and warm start", trial.starts)
    yield checked("a process that closes nothing", lambda: _unclosed(name, bundle, precision))


class _Trial:
    """One executor of one bundle."""

    def __init__(self, bundle: Bundle, precision: str, opened: Opened) -> None:
        self._bundle, self._model, self._precision = bundle, bundle.manifest, precision
        self._opened, self._host = opened, OnnxRuntime(bundle)
        self._settings = default_settings(encoder=self._model.has_encoder)

    def first_call(self) -> tuple[bool, str]:
        """The first picture is that of the CPU, and so is the last of many."""
        expected = self._filled(self._host, 1)
        with closing(self._opened()) as runtime:
            first = self._filled(runtime, 1)
            for _ in range(REPLAYS):  # a search that loops is one launch
                self._searched(runtime, 1)
            last = self._filled(runtime, 1)
        off = int(np.abs(first.astype(int) - expected).max())
        same = np.array_equal(first, last)
        return same and off <= _LEVELS[self._precision], f"{off} levels of 255 off; the last the same: {same}"

    def graphs(self) -> tuple[bool, str]:
        """Each graph of a default search against the CPU's."""
        evidence, state = self._evidence(_ROWS), self._started(self._host, _ROWS)
        with closing(self._opened()) as runtime:
            pairs = [self._graphs_of(each, state, evidence) for each in (runtime, self._host)]
        cosines = [_cosine(found, expected) for found, expected in zip(*pairs, strict=True)]
        named = dict(zip(("fit", "generator", "encoder"), cosines, strict=False))
        measured = ", ".join(f"{name} {cosine:.6f}" for name, cosine in named.items())
        return min(cosines) >= _COSINE[self._precision], f"least cosine to the CPU's: {measured}"

    def replayed(self) -> tuple[bool, str]:
        """The whole state with a loop where the driver has them, with graphs and without; none falls back."""
        states, said, found = [], [], []
        can_loop = open_device().loops
        for loops, graph in ((True, True), (False, True), (False, False)):
            with nullcontext() if loops else portions():
                runtime = self._opened(graph=graph, say=said.append)
            with closing(runtime):
                states.append(self._searched(runtime, _ROWS))
                found.append((runtime.info.loops, runtime.info.steps_at_once > 1))
        same = all(
            np.array_equal(getattr(state, name), getattr(states[0], name))
            for state in states[1:]
            for name in ("z", "best_z", "best_loss", "steps", "status")
        )
        fell_back = [line for line in said if "slower" in line]
        as_asked = found == [(can_loop, True), (False, True), (False, False)]
        how = "loops" if found[0][0] else "in graphs" if found[0][1] else "step by step"
        return same and as_asked, "; ".join([how, f"the same to the bit: {same}", *fell_back])

    def steps(self) -> tuple[bool, str]:
        """At most what a graph holds, less one, is run for nothing."""
        with closing(self._opened()) as runtime:
            state = self._started(runtime, _ROWS)
            run = runtime.timed(state, self._settings.steps).steps
        needed = int(state.steps.max())
        return needed <= run < needed + STEPS_A_GRAPH, f"{run} run, {needed} needed"

    def few_after_many(self) -> tuple[bool, str]:
        """One picture after a batch of many is what it is alone, and takes about as long."""
        seconds, pictures = [], []
        for before in (0, MANY):
            with closing(self._opened()) as runtime:
                if before:
                    self._filled(runtime, before)
                self._filled(runtime, 1)
                begin_at = time.perf_counter()
                pictures.append(self._filled(runtime, 1))
                seconds.append(time.perf_counter() - begin_at)
        off = int(np.abs(pictures[0].astype(int) - pictures[1]).max())
        measured = (
            f"{1e3 * seconds[0]:.2f} ms alone, {1e3 * seconds[1]:.2f} ms after {MANY}, {off} levels apart"
        )
        return off <= _LEVELS[self._precision], measured

    def threads(self) -> tuple[bool, str]:
        """Each thread gets its own pictures, of its own number of rows."""
        found: dict[int, np.ndarray] = {}
        with closing(self._opened()) as runtime:
            expected = {rows: self._filled(runtime, rows) for rows in range(1, 1 + _THREADS)}

            def search(rows: int) -> None:
                for _ in range(10):
                    found[rows] = self._filled(runtime, rows)

            workers = [threading.Thread(target=search, args=(rows,)) for rows in expected]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        same = [rows in found and np.array_equal(found[rows], expected[rows]) for rows in expected]
        return all(same), f"{sum(same)} of {len(same)} threads got their own pictures"

    def openings(self) -> tuple[bool, str]:
        """A backend that is opened and closed again and again, beside what else uses the GPU."""
        other = _torch_on_gpu()
        pictures = []
        for _ in range(_OPENINGS):
            with closing(self._opened()) as runtime:
                pictures.append(self._filled(runtime, 1))
            alive = other()
        same = all(np.array_equal(pictures[0], each) for each in pictures)
        return same and alive, f"{len(pictures)} times the same picture: {same}"

    def memory(self) -> tuple[bool, str]:
        """Free memory after a tenth of the runs against that after all of them."""
        device, free = open_device(), []
        with closing(self._opened()) as runtime:
            for run in range(RUNS):
                self._searched(runtime, 1)
                if run in (RUNS // 10, RUNS - 1):
                    with device:
                        free.append(device.free_memory())
        grown = free[0] - free[1]
        return grown <= 0, f"{grown / 1e6:+.1f} MB after the first {RUNS // 10}"

    def starts(self) -> tuple[bool, str]:
        """Until the first picture: a backend that is opened now, and its second picture."""
        begin_at = time.perf_counter()
        with closing(self._opened()) as runtime:
            self._filled(runtime, 1)
            opened_at = time.perf_counter()
            self._filled(runtime, 1)
            again = time.perf_counter() - opened_at
        first = opened_at - begin_at
        return again <= first, f"{first:.3f} s to the first picture, {again:.4f} s for the second"

    def _evidence(self, rows: int) -> Evidence:
        return pixel_evidence(*self._pictures(rows), self._model)

    def _graphs_of(self, runtime: Runtime, state: SearchState, evidence: Evidence) -> list[np.ndarray]:
        """Of a default search: gradient of the fit, what is drawn, and the encoder's z where there is one."""
        found = [evaluate(runtime, state.z, state.task).gradient, generate(runtime, state.z)]
        return [*found, encode(runtime, *evidence.seen())] if self._model.has_encoder else found

    def _pictures(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """As far from what G draws as photographs are, with a hole in the middle."""
        model = self._model
        drawn = generate(self._host, Prior.of(model).latents(range(rows)))
        noisy = drawn + np.random.default_rng(0).normal(0, 0.2, drawn.shape)
        known = np.ones((rows, model.height, model.width), bool)
        known[:, model.height // 4 : -model.height // 4, model.width // 4 : -model.width // 4] = False
        return from_unit(noisy.transpose(0, 2, 3, 1)), known

    def _filled(self, runtime: Runtime, rows: int) -> np.ndarray:
        pictures, known = self._pictures(rows)
        completer = Completer(self._model, runtime)
        try:
            return completer.fill(pictures, known, seeds=range(rows), settings=self._settings)
        finally:
            completer.scheduler.close()  # the runtime goes on

    def _started(self, runtime: Runtime, rows: int) -> SearchState:
        return begin(self._evidence(rows), self._settings, range(rows), self._model, runtime)

    def _searched(self, runtime: Runtime, rows: int) -> SearchState:
        state = self._started(runtime, rows)
        runtime.solve(state, self._settings.steps)
        return state


def _cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """The least of any row."""
    one, other = (each.reshape(len(each), -1).astype(float) for each in (found, expected))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / norms).min())


def _torch_on_gpu() -> Callable[[], bool]:
    """Whether PyTorch still computes on the GPU; always where it is not there."""
    try:
        import torch
    except ImportError:
        return lambda: True
    if not torch.cuda.is_available():
        return lambda: True
    ones = torch.ones(64, 64, device="cuda")
    return lambda: bool((ones @ ones == 64).all())


def _unclosed(name: str, bundle: Bundle, precision: str) -> tuple[bool, str]:
    """A process that ends without closing its completer: no error, and no word of pycuda's."""
    command = [sys.executable, "-c", PRELUDE + _PROGRAM, name, str(bundle.path), precision]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = done.stderr.splitlines()
    return (
        done.returncode == 0 and not lines,
        f"exit status {done.returncode}; {lines[-1] if lines else 'silent'}",
    )
