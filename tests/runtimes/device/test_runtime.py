from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.errors import EngineError, InputError
from edgefill.kernels.device import Device
from edgefill.methods.feed_forward.network import draw
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_task
from edgefill.methods.latent.search import REACHED, RUNNING, SearchState
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.interface import Input, Interface, Mask, Output, Range
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.runtime import DeviceRuntime
from edgefill.runtimes.host import HostRuntime
from tests.completion.fakes import fake_model, fake_runtime
from tests.fakes.cuda import CUresult, FakeCuda
from tests.runtimes.device.gpu import FunctionExecutor, arrays, specified_kernels

MODEL = fake_model(channels=3)
SETTINGS = {
    "adam": SearchSettings("adam", steps=60, lr=0.05),
    "momentum": SearchSettings("momentum", steps=60, lr=0.05, normalise=True, lr_falls=True),
    "lbfgs": SearchSettings("lbfgs", steps=60, lr=0.1),
    "hmc": SearchSettings("hmc", steps=60, hmc_leapfrog=4, hmc_size=0.02, hmc_beta=2.0, hmc_anneal=1.5),
}


class Gpu:
    """A runtime on a fake GPU, and everything around it."""

    def __init__(self, monkeypatch, settings=SETTINGS["adam"], *, graph=True, **hardware):
        self.settings, self.said = settings, []
        self.cuda = FakeCuda(specified_kernels(settings), **hardware).install(monkeypatch)
        self.host = fake_runtime(MODEL)
        self.executor = FunctionExecutor(self.cuda, MODEL, self.host)
        self.runtime = DeviceRuntime(
            "fake", MODEL, Device(), self.executor, graph=graph, say=self.said.append
        )

    def start(self, rows=3, settings=None) -> SearchState:
        settings = settings or self.settings
        pictures = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 3), np.uint8)
        known = np.ones((rows, 8, 8), bool)
        known[:, 2:6, 2:6] = False
        task = pixel_task(pictures, known, MODEL, settings)
        return SearchState.start(task, settings, range(rows), Prior.of(MODEL))


def assert_equal(found: SearchState, expected: SearchState) -> None:
    for name, array in arrays(expected).items():
        np.testing.assert_array_equal(arrays(found)[name], array, err_msg=name)
        assert arrays(found)[name].dtype == array.dtype, name


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("solver", SETTINGS)
def test_the_search_there_is_the_search_here_to_the_bit(solver, graph, monkeypatch):
    gpu = Gpu(monkeypatch, SETTINGS[solver], graph=graph)
    there, here = gpu.start(), gpu.start()
    for n in (1, 7, 10, 33, 100):
        gpu.runtime.solve(there, n)
        gpu.host.solve(here, n)
        assert_equal(there, here)
    assert there.steps.tolist() == [60] * 3


def test_two_searches_may_take_turns(monkeypatch):
    gpu = Gpu(monkeypatch)
    one, other, alone = gpu.start(3), gpu.start(4), gpu.start(3)
    for _ in range(3):
        gpu.runtime.solve(one, 12)
        gpu.runtime.solve(other, 12)
        evaluate(gpu.runtime, other.z, other.task)
    gpu.host.solve(alone, 36)
    assert_equal(one, alone)


def test_several_steps_are_captured_once_and_replayed(monkeypatch):
    gpu = Gpu(monkeypatch)
    for _ in range(2):
        gpu.runtime.solve(gpu.start(), 60)
    assert gpu.cuda.count("cuStreamBeginCapture") == 1, "the second search has the same shape and settings"
    assert gpu.cuda.count("cuGraphLaunch") == 12 and not gpu.said
    gpu.runtime.solve(gpu.start(settings=replace(gpu.settings, lr=0.01, steps=60)), 60)
    assert gpu.cuda.count("cuStreamBeginCapture") == 1, "the rates are no part of the graph"
    gpu.runtime.solve(gpu.start(settings=replace(gpu.settings, eps=1e-3)), 60)
    assert gpu.cuda.count("cuStreamBeginCapture") == gpu.cuda.count("cuGraphExecDestroy") + 1 == 2


def test_the_library_runs_once_outside_a_capture_and_that_moves_nothing(monkeypatch):
    gpu = Gpu(monkeypatch)
    gpu.runtime.solve(gpu.start(), 60)
    begin = gpu.cuda.calls.index("cuStreamBeginCapture")
    assert gpu.cuda.calls[:begin].count("run step") == 1
    assert "adam_step" not in gpu.cuda.calls[:begin]
    assert gpu.cuda.calls[begin - 1] == "synchronize"


@pytest.mark.parametrize("call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_where_no_graph_can_be_made_the_steps_are_enqueued_one_by_one(call, monkeypatch):
    gpu = Gpu(monkeypatch)
    gpu.cuda.failing[call] = CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
    there, here = gpu.start(), gpu.start()
    gpu.runtime.solve(there, 60)
    gpu.host.solve(here, 60)
    assert_equal(there, here)
    gpu.runtime.solve(gpu.start(), 60)
    (said,) = gpu.said
    assert call in said and "901" in said and "slower" in said
    assert gpu.runtime.info.steps_at_once == 1


def test_an_engine_that_says_it_cannot_be_captured_is_not(monkeypatch):
    gpu = Gpu(monkeypatch)
    gpu.executor.capturable = False
    gpu.runtime.solve(gpu.start(), 60)
    assert "cuStreamBeginCapture" not in gpu.cuda.calls and len(gpu.said) == 1


def test_a_search_without_graphs_captures_nothing(monkeypatch):
    gpu = Gpu(monkeypatch, graph=False)
    gpu.runtime.solve(gpu.start(), 60)
    assert gpu.runtime.info.steps_at_once == 1
    assert not any("Graph" in call or "Capture" in call for call in gpu.cuda.calls) and not gpu.said


def test_nothing_comes_back_between_steps_but_what_says_who_still_runs(monkeypatch):
    gpu = Gpu(monkeypatch)
    gpu.runtime.solve(gpu.start(), 60)
    gpu.cuda.calls.clear()
    gpu.runtime.solve(gpu.start(), 60)
    calls = gpu.cuda.calls
    assert calls.count("download") == 6 + 1, "a status each ten steps, and the state at the end"
    assert calls.count("synchronize") == 2, "for the state, and for the last event"
    waits = [place for place, call in enumerate(calls) if call == "wait for event"]
    launches = [place for place, call in enumerate(calls) if call == "cuGraphLaunch"]
    assert all(wait > launch for wait, launch in zip(waits, launches[1:], strict=False)), (
        "the host waits for a portion when the next one is enqueued already"
    )


def test_when_every_row_has_stopped_no_more_steps_are_enqueued(monkeypatch):
    gpu = Gpu(monkeypatch, replace(SETTINGS["adam"], steps=1000, goal=20.0))
    there, here = gpu.start(), gpu.start()
    gpu.runtime.solve(there, 1000)
    gpu.host.solve(here, 1000)
    assert (there.status == REACHED).all() and there.ended
    assert 10 * gpu.cuda.count("cuGraphLaunch") <= there.step + 30
    for name in ("status", "steps", "best_z", "best_loss", "z"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)


def test_rows_that_pad_a_batch_change_nothing(monkeypatch):
    gpu = Gpu(monkeypatch)
    full = gpu.start(4)
    gpu.runtime.solve(full, 20)  # leaves its rows where padding will be
    few, here = gpu.start(3), gpu.start(3)
    gpu.runtime.solve(few, 20)
    gpu.host.solve(here, 20)
    assert_equal(few, here)
    assert few.status.tolist() == [RUNNING] * 3 and gpu.executor.bound == [("step", 4)]


def test_results_are_the_host_s_and_stay_when_the_buffers_are_used_again(monkeypatch):
    gpu = Gpu(monkeypatch)
    state = gpu.start()
    gpu.runtime.solve(state, 10)
    kept = {name: array.copy() for name, array in arrays(state).items()}
    gpu.runtime.solve(gpu.start(4), 10)
    for name, array in kept.items():
        np.testing.assert_array_equal(arrays(state)[name], array, err_msg=name)


@pytest.mark.parametrize("rows", [1, 3, 64, 150])
def test_pictures_are_those_of_the_host(rows, monkeypatch):
    gpu = Gpu(monkeypatch)
    state = gpu.start(rows)
    known = state.task.weight[:, 0] > 0
    np.testing.assert_array_equal(generate(gpu.runtime, state.z), generate(gpu.host, state.z))
    np.testing.assert_array_equal(
        gpu.runtime.compose(state.z, state.task.target, known),
        gpu.host.compose(state.z, state.task.target, known),
    )
    assert max(batch for _, batch in gpu.executor.bound) <= 64


def test_an_evaluation_is_that_of_the_host(monkeypatch):
    gpu = Gpu(monkeypatch)
    state = gpu.start()
    there, here = (evaluate(runtime, state.z, state.task) for runtime in (gpu.runtime, gpu.host))
    for name, value in here._asdict().items():
        np.testing.assert_array_equal(getattr(there, name), value, err_msg=name)


class Negative(HostRuntime):
    """Draws the negative of uint8 pictures whose axes are in another order."""

    def run(self, graph, feeds):
        return {"drawn": 255 - feeds["image"]}


def bytes_network(monkeypatch, layout="NHWC", batch=None):
    interface = Interface(
        (
            Input("image", ("picture",), layout, "uint8"),
            Input("mask", ("mask",), layout.replace("C", ""), "uint8"),
        ),
        Output("drawn", layout, "uint8", Range.named("0..255")),
        16,
        range=Range.named("0..255"),
        mask=Mask(255, 0),
        batch=batch,
    )
    model = Manifest("bytes", interface=interface)
    cuda = FakeCuda(specified_kernels(SETTINGS["adam"])).install(monkeypatch)
    host = Negative()
    executor = FunctionExecutor(cuda, model, host)
    return model, host, executor, DeviceRuntime("fake", model, Device(), executor)


@pytest.mark.parametrize(("layout", "batch", "bound"), [
    ("NHWC", None, [("completion", 8)]), ("NHWC", 3, [("completion", 3)]), ("HWC", None, [("completion", 1)]),
])  # fmt: skip
def test_a_network_of_bytes_in_any_layout_is_bound_in_its_own_types_and_rows(
    layout, batch, bound, monkeypatch
):
    model, host, executor, there = bytes_network(monkeypatch, layout, batch)
    random = np.random.default_rng(0)
    picture = random.uniform(-1, 1, (5, 3, 10, 12)).astype(np.float32)
    known = (random.random((5, 1, 10, 12)) < 0.5).astype(np.float32)
    feeds = model.passed.feeds(picture, known)
    found = there.run("completion", feeds)["drawn"]
    assert found.dtype == np.uint8 and executor.bound == bound
    np.testing.assert_array_equal(found, host.run("completion", feeds)["drawn"])
    np.testing.assert_array_equal(
        draw(there, model, picture[:1], known[:1]), draw(host, model, picture[:1], known[:1])
    )


def test_buffers_are_allocated_once_and_all_given_back(monkeypatch):
    gpu = Gpu(monkeypatch, SETTINGS["hmc"])
    free = gpu.cuda.free
    taken = set()
    for seed in range(5):
        state = gpu.start()
        gpu.runtime.solve(state, 60)
        generate(gpu.runtime, state.z + seed)
        taken.add(gpu.cuda.free)
    assert len(taken) == 1
    footprint = gpu.runtime.footprint()
    assert footprint.device_bytes == free - gpu.cuda.free and footprint.plan_bytes == 7
    gpu.runtime.close()
    assert gpu.cuda.free == free and not gpu.cuda.allocations and gpu.cuda.contexts == 0
    assert gpu.cuda.count("cuGraphExecDestroy") == 1


def test_times_are_those_of_the_host_and_of_the_events(monkeypatch):
    gpu = Gpu(monkeypatch)
    times = gpu.runtime.timed(gpu.start(), 60)
    assert times.device == 1e-3 and 0 < times.host < 60


def test_a_batch_that_has_no_room_names_the_one_that_fits(monkeypatch):
    gpu = Gpu(monkeypatch, memory=300_000)
    with pytest.raises(InputError, match=r"a batch of 64 pictures needs .* MB .* use --batch \d+") as caught:
        gpu.runtime.solve(gpu.start(64), 10)
    fits = int(str(caught.value).rsplit(" ", 1)[1])
    assert fits > 1
    gpu.runtime.solve(gpu.start(fits), 10)
    assert gpu.cuda.contexts == 0


def test_a_library_that_refuses_is_an_error_and_the_context_is_left(monkeypatch):
    gpu = Gpu(monkeypatch, graph=False)
    gpu.executor.refuses = True
    with pytest.raises(EngineError, match="refuses to run step"):
        gpu.runtime.solve(gpu.start(), 10)
    assert gpu.cuda.contexts == 0


def test_a_graph_that_does_not_launch_is_an_error(monkeypatch):
    gpu = Gpu(monkeypatch)
    gpu.cuda.failing["cuGraphLaunch"] = CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
    with pytest.raises(EngineError, match="cuGraphLaunch failed"):
        gpu.runtime.solve(gpu.start(), 10)
    assert gpu.cuda.contexts == 0
