"""Proves and measures the search on an NVIDIA GPU, with what is installed there and no network.

    python -m benchmarks.gpu [--model faces64] [--minutes 7.5] [--out FOLDER] [--name gpu]

First it proves: kernels against NumPy, every executor against ONNX Runtime in fp32 on the CPU, graphs on
against off, memory, compute-sanitizer. Then it measures what users run, the default search from the
encoder's z: every executor by turns with PyTorch's Adam on the same objective and weights, a loop on the
device by turns with graphs between which the host asks, what the update adds to a step, and what
``edgefill bench`` measures. A graph that fell back fails. One JSON and one table are written; what could not
be run, or was left out for time, says so. ``benchmarks/gpu_kit.py`` packs what such a machine needs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.gpu_checks import Check, portions
from benchmarks.gpu_executors import executor_checks, one_pass_checks, timing_check
from benchmarks.gpu_first import first_checks
from benchmarks.gpu_kernels import kernel_checks, sanitizer_checks
from benchmarks.gpu_table import markdown
from benchmarks.record import RESULTS, record
from edgefill.bench import Rule, bench
from edgefill.errors import EdgefillError
from edgefill.export.engines.recipe import static
from edgefill.export.engines.store import Engines
from edgefill.files import write_atomically
from edgefill.kernels.buffers import Buffers
from edgefill.kernels.device import Device, open_device
from edgefill.methods.latent.pixels import pixel_evidence
from edgefill.methods.latent.search import SearchState
from edgefill.methods.latent.settings import SearchSettings, default_settings
from edgefill.methods.latent.start import begin
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.runtimes import DEVICE_BACKENDS, Runtime, open_backend
from edgefill.runtimes.device.executors import open_executor, tensor_shapes
from edgefill.runtimes.device.search import STEPS_A_GRAPH
from edgefill.runtimes.onnx_runtime import OnnxRuntime
from edgefill.runtimes.registry import LIBRARIES, row_of

Turn = Callable[[], float]  # seconds on the GPU of a step, which is one of many
_RULE = Rule(seconds=1.5)
_ROUNDS, _STEPS_A_TURN = 15, 48
_OVERHEAD_STEPS = STEPS_A_GRAPH  # of the graph that the overhead is taken from, which is that of a search


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,8,64",
    one_pass: Annotated[str, typer.Option(help="The model of one pass.")] = "faces64-glcic",
    minutes: Annotated[float, typer.Option(help="After this long nothing more is begun.")] = 7.5,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
    name: Annotated[str, typer.Option(help="Of the results.")] = "gpu",
) -> None:
    try:
        device = open_device()
    except EdgefillError as error:
        raise SystemExit(f"nothing can be measured here: {error}") from error
    session = Session(Bundle.open(find(model)), [int(size) for size in batches.split(",")], minutes)
    session.prove(device)
    session.prove_one_pass(Bundle.open(find(one_pass)))
    session.measure(device)
    figures = session.figures()
    table = markdown(figures, device.name)
    write_atomically(out / f"{name}.md", table)
    print(table, f"recorded in {record(name, figures, out)}", sep="\n")


class Session:
    """What was proven and measured so far, and the time that is left."""

    def __init__(self, bundle: Bundle, batches: list[int], minutes: float) -> None:
        self._bundle, self._batches = bundle, batches
        self._settings = default_settings(encoder=bundle.manifest.has_encoder)
        self._alone = replace(self._settings, features=False)  # as PyTorch, which moves z alone, has it
        self._host = OnnxRuntime(bundle)
        self._end = time.monotonic() + 60 * minutes
        self._checks: list[tuple[str, Check]] = []
        self._benches: list[dict[str, Any]] = []
        self._races: list[dict[str, Any]] = []
        self._loops: list[dict[str, Any]] = []
        self._overheads: list[dict[str, Any]] = []
        self._left_out: list[str] = []
        self._matrix_rate: float | None = None
        self._flops: int | None = None

    def prove(self, device: Device) -> None:
        """Every check; the executors that fail none are those that are measured."""
        self._run("kernels", lambda: self._take("kernels", kernel_checks(device)))
        for library in LIBRARIES:
            self._run(f"engines of {library}", partial(self._build, library))
        for name, precision in self._executors():
            opened = partial(open_backend, name, self._bundle, precision=precision, say=print)
            label = f"{name} {precision}"
            self._run(label, lambda: self._take(label, executor_checks(self._bundle, precision, opened)))  # noqa: B023
            if self._works(name, precision):
                first = partial(first_checks, self._bundle, name, precision, opened)
                self._run(f"{label}, as it is used", lambda: self._take(label, first()))  # noqa: B023
        if any(self._works("tensorrt", precision) for precision in self._bundle.precisions):
            precision = self._bundle.precisions[-1]
            self._run(
                "timing cache", lambda: self._take("tensorrt", iter([timing_check(self._bundle, precision)]))
            )
        self._run("compute-sanitizer", lambda: self._take("compute-sanitizer", sanitizer_checks()))

    def prove_one_pass(self, bundle: Bundle) -> None:
        """Every executor of a model that completes in one pass."""
        for name, precision in product(DEVICE_BACKENDS, bundle.precisions):
            opened = partial(open_backend, name, bundle, precision=precision, say=print)
            label = f"{name} {precision}, one pass"
            self._run(label, lambda: self._take(label, one_pass_checks(bundle, precision, opened)))  # noqa: B023

    def measure(self, device: Device) -> None:
        """The races with PyTorch, the overhead of the update, and the bench of every executor that works."""
        working = [pair for pair in self._executors() if self._works(*pair)]
        self._run("floor", self._floor)
        for precision in self._bundle.precisions:
            names = [name for name, its in working if its == precision]
            for batch in self._batches:
                self._run(f"race {precision} batch {batch}", partial(self._race, names, precision, batch))
        for name, precision in working:
            for batch in self._batches:
                label = f"loop {name} {precision} batch {batch}"
                self._run(label, partial(self._loop, device, name, precision, batch))
                label = f"overhead {name} {precision} batch {batch}"
                self._run(label, partial(self._overhead, device, name, precision, batch))
            self._run(f"bench {name} {precision}", partial(self._bench, name, precision))

    def figures(self) -> dict[str, Any]:
        """Everything, for the record."""
        return {
            "model": self._bundle.manifest.name,
            "settings": self._settings.document(),
            "checks": [{"of": of, **asdict(check)} for of, check in self._checks],
            "races": self._races,
            "loops": self._loops,
            "overheads": self._overheads,
            "benches": self._benches,
            "flops_a_step": self._flops,
            "matrix_flops_per_second": self._matrix_rate,
            "left_out": self._left_out,
        }

    def _executors(self) -> Iterator[tuple[str, str]]:
        for name in DEVICE_BACKENDS:
            for precision in self._bundle.precisions:
                yield name, precision

    def _works(self, name: str, precision: str) -> bool:
        """Whether its loss and gradient are right: the first of its checks."""
        found = [check.passed for of, check in self._checks if of == f"{name} {precision}"]
        return bool(found and found[0])

    def _take(self, of: str, checks: Iterator[Check]) -> None:
        for check in checks:
            self._checks.append((of, check))
            sign = {True: "ok", False: "FAILED", None: "not run"}[check.passed]
            print(f"{sign:8} {of}: {check.name}: {check.measured}", flush=True)

    def _run(self, what: str, work: Callable[[], None]) -> None:
        """Runs ``work`` if there is time; whatever goes wrong in it is written down and the rest goes on."""
        if time.monotonic() > self._end:
            self._left_out.append(f"{what}: no time was left")
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  a driver or a library may throw anything
            self._left_out.append(f"{what}: {type(error).__name__}: {error}")
            print(self._left_out[-1], flush=True)

    def _build(self, library: str) -> None:
        """An engine for every size that is measured: a larger one would do, and be slower."""
        for precision in self._bundle.precisions:
            engines = Engines(self._bundle, library, precision=precision, say=print)
            graphs = self._settings.graphs(self._bundle.features(precision))
            for graph, batch in product(("step", *graphs), self._batches):
                engines.build(graph, static(batch))

    def _floor(self) -> None:
        """What the arithmetic alone needs, at the rate that the GPU multiplies matrices here."""
        from benchmarks.gpu_contenders import asked, flops, matrix_rate
        from benchmarks.networks import networks_of

        state = self._started(self._host, 1, self._alone)
        self._flops = flops(asked(networks_of(self._bundle), state.task), state.z, state.task)
        self._matrix_rate = matrix_rate()

    def _race(self, names: list[str], precision: str, batch: int) -> None:
        """Default searches of the executors and Adam in PyTorch by turns: medians of a step."""
        backends = {name: open_backend(name, self._bundle, precision=precision, say=print) for name in names}
        turns: dict[str, Turn] = {
            name: self._turn(backend, batch, self._settings) for name, backend in backends.items()
        }
        self._run(
            f"PyTorch {precision} batch {batch}", lambda: turns.update(self._torch_turns(precision, batch))
        )
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        for number in range(_ROUNDS + 2):
            for name, turn in turns.items():
                taken = turn()
                if number >= 2:  # the first turns warm up
                    seconds[name].append(taken)
        for name, backend in backends.items():
            self._take(f"{name} {precision}", iter([_replays(backend, f"race at batch {batch}")]))
            backend.close()
        medians = {name: statistics.median(taken) for name, taken in seconds.items()}
        self._races.append({"precision": precision, "batch": batch, "seconds": medians})
        print(
            precision, batch, {name: f"{1e6 * taken:.1f} us" for name, taken in medians.items()}, flush=True
        )

    def _turn(self, backend: Runtime, batch: int, settings: SearchSettings) -> Turn:
        """A search that begins at the encoder's z where there is one, and ends where the settings say."""

        def turn() -> float:
            times = backend.timed(self._started(backend, batch, settings), settings.steps)
            return times.device / max(times.steps, 1)

        return turn

    def _torch_turns(self, precision: str, batch: int) -> dict[str, Turn]:
        from benchmarks.gpu_contenders import torch_turns
        from benchmarks.networks import networks_of

        state = self._started(self._host, batch, self._alone)
        networks = networks_of(self._bundle)
        turns, failed = torch_turns(networks, state.z, state.task, self._alone, precision)
        self._left_out += [f"{name}, {precision}, batch {batch}: {why}" for name, why in failed.items()]
        return {name: partial(_a_step, turn) for name, turn in turns.items()}

    def _loop(self, device: Device, name: str, precision: str, batch: int) -> None:
        """Whole default searches, on the host's clock: the device looks who still runs, or the host asks."""
        if not device.loops:
            return
        opened = partial(open_backend, name, self._bundle, precision=precision, say=print)
        with portions():
            asking = opened()
        backends, seconds = {"loop": opened(), "portions": asking}, {"loop": [], "portions": []}
        for number in range(_ROUNDS + 2):
            for how, backend in backends.items():
                state = self._started(backend, batch, self._settings)
                begin_at = time.perf_counter()
                backend.solve(state, self._settings.steps)
                if number >= 2:  # the first turns warm up
                    seconds[how].append(time.perf_counter() - begin_at)
        loops = backends["loop"].info.loops
        self._take(f"{name} {precision}", iter([Check(f"a loop at batch {batch}", loops, f"loops: {loops}")]))
        for backend in backends.values():
            backend.close()
        medians = {f"{how}_seconds": statistics.median(taken) for how, taken in seconds.items()}
        case = {"backend": name, "precision": precision, "batch": batch, "steps": int(state.steps.max())}
        self._loops.append({**case, **medians})

    def _overhead(self, device: Device, name: str, precision: str, batch: int) -> None:
        """What update and graph add to a step: a step of the search less the engine's run, both in graphs."""
        executor = open_executor(row_of(name), self._bundle, device, precision, say=print)
        backend = open_backend(name, self._bundle, precision=precision, say=print)
        steady = replace(self._settings, steps=_STEPS_A_TURN, patience=0, goal=None)
        features = self._bundle.features(precision)
        graph_name, turn = steady.graphs(features)[0], self._turn(backend, batch, steady)
        batch = executor.capacity(graph_name, batch)
        with device:
            shapes = tensor_shapes(self._bundle.manifest, graph_name, batch, features=features)
            buffers = Buffers(device, shapes)
            bound = executor.bind(graph_name, batch, buffers.address)
            for _ in range(2):  # a library may allocate in its first runs
                bound.enqueue()
            device.synchronize()
            graph = device.capture(lambda: [bound.enqueue() for _ in range(_OVERHEAD_STEPS)] and None)
        search, alone = [], []
        for _ in range(_ROUNDS + 2):
            search.append(turn())
            with device:
                begin = device.record("alone, begin")
                for _ in range(_STEPS_A_TURN // _OVERHEAD_STEPS):
                    graph.launch()
                end = device.record("alone, end")
                device.synchronize()
                alone.append(begin.time_till(end) / 1e3 / _STEPS_A_TURN)
        with device:
            graph.close()
            buffers.free()
            executor.close()
        self._take(f"{name} {precision}", iter([_replays(backend, f"overhead at batch {batch}")]))
        backend.close()
        added = statistics.median(a - b for a, b in list(zip(search, alone, strict=True))[2:])
        engine = statistics.median(alone[2:])
        case = {"backend": name, "precision": precision, "batch": batch}
        self._overheads.append({**case, "engine_seconds": engine, "added_seconds": added})

    def _bench(self, name: str, precision: str) -> None:
        settings = self._settings
        report = bench(
            self._bundle, name, self._batches, settings=settings, rule=_RULE, precision=precision, say=print
        )
        self._benches.append(report.document())

    def _started(self, runtime: Runtime, batch: int, settings: SearchSettings) -> SearchState:
        """A search for random pictures with a hole: a step costs the same whatever they are."""
        model = self._bundle.manifest
        shape = (batch, model.height, model.width)
        pictures = np.random.default_rng(0).integers(0, 256, (*shape, model.channels), np.uint8)
        known = np.ones(shape, bool)
        known[:, model.height // 4 : -model.height // 4, model.width // 4 : -model.width // 4] = False
        evidence = pixel_evidence(pictures, known, model)
        return begin(evidence, settings, range(batch), model, runtime)


def _replays(backend: Runtime, what: str) -> Check:
    """Whether ``backend`` still replays graphs after all that it did."""
    at_once = backend.info.steps_at_once
    return Check(f"{what}: a graph that is used", at_once > 1, f"{at_once} steps at once")


def _a_step(turn: Callable[[int], float]) -> float:
    """Of a turn of PyTorch."""
    return turn(_STEPS_A_TURN) / _STEPS_A_TURN


if __name__ == "__main__":
    typer.run(main)
