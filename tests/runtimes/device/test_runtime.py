"""The search on a GPU, on a stub driver: what is enqueued, waited for and given back, and what it finds."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from edgefill.completion import Completer
from edgefill.errors import EngineError, InputError
from edgefill.kernels.device import Device, open_device
from edgefill.kernels.solvers import HMC, Momentum
from edgefill.methods.feed_forward.network import draw
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_task
from edgefill.methods.latent.search import CONVERGED, REACHED, RUNNING, SearchState
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.interface import Input, Interface, Mask, Output, Range
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.runtime import DeviceRuntime
from edgefill.runtimes.host import HostRuntime
from tests.completion.fakes import WideRuntime, fake_model, fake_runtime
from tests.driver import CAPTURE_INVALIDATED
from tests.runtimes.device.gpu import FunctionExecutor

MODEL = fake_model(channels=3)
SETTINGS = {
    "adam": SearchSettings("adam", steps=60, lr=0.05),
    "momentum": SearchSettings(Momentum(normalise=True), steps=60, lr=0.05, lr_falls=True),
    "lbfgs": SearchSettings("lbfgs", steps=60, lr=0.1),
    "hmc": SearchSettings(HMC(leapfrog=4, size=0.02, beta=2.0, anneal=1.5), steps=60),
}
PORTIONS, LOOPS = 12030, 12040  # CUDA of drivers: whether the host asks if a row runs, or the device knows
ENDING = SearchSettings("lbfgs", steps=60, lr=0.1, patience=5, tolerance=0.005)


class Gpu:
    """A runtime on the GPU that is plugged in, and everything around it."""

    def __init__(self, driver, settings=SETTINGS["adam"], *, graph=True, host=None, **hardware):
        self.driver, self.settings, self.said = driver.plug(**hardware), settings, []
        self.host = host or fake_runtime(MODEL)
        device = open_device()
        self.executor = FunctionExecutor(driver, device, MODEL, self.host)
        options = {"features": self.host.features, "graph": graph, "say": self.said.append}
        self.runtime = DeviceRuntime("fake", MODEL, device, self.executor, **options)

    def start(self, rows=3, settings=None) -> SearchState:
        settings = settings or self.settings
        pictures = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 3), np.uint8)
        known = np.ones((rows, 8, 8), bool)
        known[:, 2:6, 2:6] = False
        task = pixel_task(pictures, known, MODEL, settings)
        return SearchState.start(task, settings, range(rows), Prior.of(MODEL))

    def wide(self, rows=3) -> SearchState:
        """A search that moves more than z, from its anchor."""
        state = self.start(rows)
        first = np.pad(state.z, ((0, 0), (0, self.runtime.features)))
        task = state.task._replace(anchor=first)
        return SearchState.start(task, self.settings, range(rows), Prior.of(MODEL), first)

    def solved(self, rows=3, settings=None, steps=60) -> SearchState:
        state = self.start(rows, settings)
        self.runtime.solve(state, steps)
        return state


@pytest.fixture
def gpu(driver):
    """Makes one ``Gpu``, and closes it."""
    made = []

    def make(*arguments, **options) -> Gpu:
        made.append(Gpu(driver, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.runtime.close()
    assert driver.count("allocations") == driver.count("executables") == driver.count("current contexts") == 0


def assert_equal(found: SearchState, expected: SearchState) -> None:
    """To the bit, where no sum over z decides."""
    settings = expected.settings
    exact = settings.solver.name in ("momentum", "adam") and not getattr(settings.solver, "normalise", False)
    rounded = {"moves", "changes", "curvatures"}  # what is nearly 0 of a difference
    for name, array in expected.arrays.items():
        if name in rounded:
            continue
        assert found.arrays[name].dtype == array.dtype, name
        if exact or array.dtype == np.int32:
            np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(found.arrays[name], array, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("solver", SETTINGS)
def test_the_search_there_is_the_search_here(solver, graph, gpu):
    it = gpu(SETTINGS[solver], graph=graph)
    there, here = it.start(), it.start()
    for n in (1, 7, 10, 33, 100):
        it.runtime.solve(there, n)
        it.host.solve(here, n)
        assert_equal(there, here)
    assert there.steps.tolist() == [60] * 3


WIDE = SearchSettings("lbfgs", steps=60, lr=0.02, lam=0.0, pull=1.0)


def test_a_latent_of_1152_numbers_is_moved_there_as_here_beside_one_of_192(gpu):
    it = gpu(WIDE, host=WideRuntime(MODEL, times=5))
    searches = [(it.wide(), it.wide()), (it.start(), it.start())]
    assert [there.z.shape for there, _ in searches] == [(3, 6 * 192), (3, 192)]
    for n in (1, 8):
        for there, here in searches:
            it.runtime.solve(there, n)
            it.host.solve(here, n)
            assert_equal(there, here)
    assert it.executor.bound == [("wide_fit", 4), ("fit", 4)]
    assert it.driver.count("cuStreamBeginCapture") == 2 and not it.said, "each its own graph"
    for there, _ in searches:
        known = there.task.weight[:, 0] > 0
        for asked in (generate, lambda runtime, z: runtime.compose(z, there.task.target, known)):  # noqa: B023
            np.testing.assert_array_equal(asked(it.runtime, there.z), asked(it.host, there.z))
        found, expected = (evaluate(runtime, there.z, there.task) for runtime in (it.runtime, it.host))
        np.testing.assert_array_equal(found.gradient, expected.gradient)


def test_of_a_search_its_numbers_come_back_each_turn_and_the_rest_when_it_is_asked_for(gpu):
    it = gpu(WIDE, host=WideRuntime(MODEL))
    there, here, of_a_row = it.wide(), it.wide(), 4 * 4 * 384  # bytes of z, for as many rows as are bound
    numbers = 9 * 256
    given = 3 * 1024 + 1024 + 4 * 256 + of_a_row  # pictures, weights, what is one number a row, the anchor
    it.runtime.solve(there, 8)
    assert it.driver.count("bytes up") == numbers + 2 * of_a_row + given + 256, "zeros are made there"
    for _ in range(2):
        it.runtime.solve(there, 8)
    assert (it.driver.count("downloads"), it.driver.count("bytes down")) == (3, 3 * numbers)
    it.host.solve(here, 24)
    np.testing.assert_allclose(there.best_z, here.best_z, rtol=2e-5, atol=2e-5)
    assert it.driver.count("bytes down") == 3 * numbers + of_a_row and there.best_z is there.best_z
    it.driver.clear()
    there.status = there.status.copy()
    it.runtime.solve(there, 8)
    assert it.driver.count("bytes up") == 2 * 4 * 4, "the limit, and what the host changed"
    it.host.solve(here, 8)
    it.runtime.close()
    assert_equal(there, here)


def test_rows_that_go_and_come_move_nothing_of_those_that_stay(gpu):
    it = gpu(WIDE, host=WideRuntime(MODEL))
    numbers, a_row = 9 * 256, 4 * 384 * 3 + 768 + 256 + 4 * 4  # z, the best z and the anchor; what is fitted
    stay, whole = np.array([True, False, True]), [it.wide(), it.wide()]

    def solve(states) -> None:
        for runtime, state in zip((it.runtime, it.host), states, strict=True):
            runtime.solve(state, 8)

    solve(whole)
    fewer = [state.rows(stay) for state in whole]
    whole = None  # nobody reads it any more
    it.driver.clear()
    solve(fewer)
    assert (it.driver.count("bytes up"), it.driver.count("bytes down")) == (numbers, numbers)
    more = [SearchState.joined(state, it.wide(2)) for state in fewer]
    fewer = None
    it.driver.clear()
    solve(more)
    assert (it.driver.count("bytes up"), it.driver.count("bytes down")) == (numbers + 2 * a_row, numbers)
    assert more[0].elsewhere.at.tolist() == [0, 2, 1, 3] and more[0].steps.tolist() == [24, 24, 8, 8]
    less = [state.rows(np.array([False, True, True, True])) for state in more]
    it.solved(4)  # of another width
    it.runtime.solve(it.wide(), 8)  # where they lay
    solve(less)
    for states in (more, less):
        assert_equal(*states)


def test_a_generator_of_as_wide_a_latent_is_built_before_the_run(gpu, monkeypatch):
    it = gpu(WIDE, host=WideRuntime(MODEL))
    monkeypatch.setattr(it.executor, "at_hand", lambda graph, rows: None)
    state = it.wide(5)
    it.runtime.solve(state, 4)
    assert it.executor.bound == [("wide_fit", 8), ("wide_generator", 8)]
    generate(it.runtime, state.z[:1])
    assert len(it.executor.bound) == 2


def test_the_room_that_is_asked_for_is_that_of_the_wider_latent(gpu):
    it = gpu(WIDE, host=WideRuntime(MODEL, times=5), memory=3_000_000)
    it.solved(64, steps=4)
    with pytest.raises(InputError, match=r"a batch of 64 pictures needs .* MB .* use --batch \d+"):
        it.runtime.solve(it.wide(64), 4)


def test_two_searches_may_take_turns(gpu):
    it = gpu()
    one, other, alone = it.start(3), it.start(4), it.start(3)
    for _ in range(3):
        it.runtime.solve(one, 12)
        it.runtime.solve(other, 12)
        evaluate(it.runtime, other.z, other.task)
    it.host.solve(alone, 36)
    assert_equal(one, alone)


def test_several_steps_are_captured_once_and_replayed(gpu):
    it = gpu()
    for _ in range(2):
        it.solved()
    assert it.driver.count("cuStreamBeginCapture") == 1, "the second search has the same shape and settings"
    assert it.driver.count("cuGraphLaunch") == 2 * 60 / 4 and not it.said
    it.solved(settings=replace(it.settings, lr=0.01, steps=60))
    assert it.driver.count("cuStreamBeginCapture") == 1, "the rates are no part of the graph"
    it.solved(settings=it.settings.changed(eps=1e-3))
    assert it.driver.count("cuStreamBeginCapture") == it.driver.count("cuGraphExecDestroy") + 1 == 2


def test_the_library_runs_twice_outside_a_capture_and_that_moves_nothing(gpu):
    it = gpu()
    there, here = it.solved(), it.start()
    it.host.solve(here, 60)
    assert_equal(there, here)
    log = it.driver.log
    begin = log.index("cuStreamBeginCapture")
    assert log[:begin].count("stub_enqueue") == 2 and "adam_step" not in log[:begin]
    assert log[begin - 1] == "cuStreamSynchronize"
    assert it.executor.ran == ["step"] * 62


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_where_no_graph_can_be_made_the_steps_are_enqueued_one_by_one(call, gpu):
    it = gpu()
    it.driver.fail(call, CAPTURE_INVALIDATED)
    there, here = it.start(), it.start()
    it.runtime.solve(there, 60)
    it.host.solve(here, 60)
    assert_equal(there, here)
    it.runtime.solve(it.start(), 60)
    (said,) = it.said
    assert call.removesuffix("WithFlags") in said and "INVALIDATED" in said and "slower" in said
    assert it.runtime.info.steps_at_once == 1


def test_an_engine_that_says_it_cannot_be_captured_is_not(gpu):
    it = gpu(ENDING)
    it.executor.capturable = False
    it.runtime.solve(it.start(), 60)
    assert not any("Capture" in call for call in it.driver.log) and len(it.said) == 1


def test_a_search_without_graphs_captures_nothing(gpu):
    it = gpu(graph=False)
    it.runtime.solve(it.start(), 60)
    assert it.runtime.info.steps_at_once == 1
    assert not any("Graph" in call or "Capture" in call for call in it.driver.log) and not it.said


def test_nothing_comes_back_between_steps_that_no_rule_ends(gpu):
    it = gpu()
    it.solved()
    it.driver.clear()
    it.solved()
    assert it.driver.count("downloads") == 1, "the state, at the end"
    assert it.driver.count("waits") == 1, "for the state"
    assert it.driver.count("cuGraphLaunch") == 15 and it.driver.count("adam_step") == 60


@pytest.mark.parametrize("cuda", [PORTIONS, LOOPS])
@pytest.mark.parametrize("rows", [1, 3])
def test_where_a_rule_ends_a_search_hardly_a_step_is_taken_for_nothing(rows, cuda, gpu):
    it = gpu(ENDING, cuda=cuda)
    it.solved(rows)
    it.driver.clear()
    there, here = it.start(rows), it.start(rows)
    it.runtime.solve(there, 60)
    it.host.solve(here, 60)
    assert there.steps.tolist() == here.steps.tolist() and set(there.status.tolist()) == {CONVERGED}
    needed = int(here.steps.max())
    assert needed < 60 and it.runtime.info.loops == (cuda == LOOPS) and not it.said
    if cuda == LOOPS:
        assert it.driver.count("turns of loops") == it.driver.count("lbfgs_step") == needed
        assert it.driver.count("cuGraphLaunch") == it.driver.count("waits") == 1
    else:
        assert needed <= it.driver.count("lbfgs_step") < needed + 4
        assert it.driver.count("cuGraphLaunch") == -(-needed // 4) == it.driver.count("waits") - 1
    assert it.driver.count("downloads") == it.driver.count("waits")


OF_LOOPS = {
    "patience": ENDING,
    "a goal, and draws": replace(SETTINGS["hmc"], goal=45.0),
    "a goal and a limit": replace(SETTINGS["adam"], steps=31, goal=7.5),
}


@pytest.mark.parametrize("settings", OF_LOOPS)
def test_a_loop_on_the_device_is_the_same_search_to_the_bit(settings, gpu, monkeypatch):
    found = []
    for loops in (False, True):
        monkeypatch.setattr(Device, "loops", loops)
        it = gpu(OF_LOOPS[settings], cuda=LOOPS)
        state, times = it.start(3), []
        state.task.target[1] = np.nan if settings == "patience" else state.task.target[1]
        for n in (5, 9, 60):  # a turn ends where its steps do, whoever looks
            before = state.steps
            times.append((it.runtime.timed(state, n).steps, int((state.steps - before).max())))
        found.append(state.arrays)
        assert not it.said and (not loops or all(run == needed for run, needed in times))
    for name in found[0].keys() - {"loss"}:  # of a row that has ended; a portion goes on evaluating it
        np.testing.assert_array_equal(found[1][name], found[0][name], err_msg=name)
    assert len(set(found[0]["steps"].tolist())) > 1, "rows that end at other steps"


@pytest.mark.parametrize(
    "call",
    [
        "cuModuleLoadDataEx",
        "cuGraphConditionalHandleCreate",
        "cuGraphAddNode",
        "cuStreamBeginCaptureToGraph",
        "",
    ],
)
def test_where_a_loop_cannot_be_made_the_host_asks_and_the_reason_is_told(call, gpu):
    it = gpu(ENDING, cuda=LOOPS)
    it.executor.calls_host = not call  # which a graph may, and a loop may not
    it.driver.fail(call, CAPTURE_INVALIDATED)
    there, here = it.solved(), it.start()
    it.host.solve(here, 60)
    assert there.steps.tolist() == here.steps.tolist() and there.status.tolist() == here.status.tolist()
    it.solved()
    (said,) = it.said
    assert (call in said or "loop.ptx" in said) and "every 4 steps the host asks" in said and "slower" in said
    assert (it.runtime.info.steps_at_once, it.runtime.info.loops) == (4, False)
    assert it.driver.count("cuGraphLaunch") > 2 and it.driver.count("graphs") == 0


@pytest.mark.parametrize(("cuda", "launches"), [(PORTIONS, 3), (LOOPS, 1)])
def test_a_picture_s_search_is_one_launch_and_one_wait_or_graphs_alone(cuda, launches, gpu):
    it = gpu(replace(ENDING, steps=12), cuda=cuda)
    picture, known = np.full((1, 8, 8, 3), 99, np.uint8), np.ones((1, 8, 8), bool)
    known[:, 2:6, 2:6] = False
    completer = Completer(MODEL, it.runtime)
    for _ in range(2):
        it.driver.clear(), it.executor.ran.clear()
        completer.fill(picture, known, settings=it.settings)
    completer.scheduler.close()
    assert it.driver.count("lbfgs_step") == 12 and it.driver.count("cuGraphLaunch") == launches
    passes = it.executor.ran.count("generator")
    if cuda == LOOPS:
        assert it.driver.count("waits") == 1 + passes + 1, "for its numbers, each pass, and its best z"


def test_a_loop_takes_no_more_steps_than_fit_before_the_time_is_up(gpu, monkeypatch):
    endless = replace(SETTINGS["adam"], steps=100_000, goal=-1.0, milliseconds=180.0)
    clock = SimpleNamespace(perf_counter=map(lambda tick: tick / 100, count()).__next__)
    monkeypatch.setattr("edgefill.methods.latent.batch.time", clock)
    it = gpu(endless, cuda=LOOPS)
    completer = Completer(MODEL, it.runtime)
    result = completer.complete(np.full((8, 8, 3), 99, np.uint8), "center", settings=endless)
    completer.scheduler.close()
    assert result.ended == "time" and it.driver.count("cuGraphLaunch") > 1 and not it.said
    assert 16 < it.driver.count("turns of loops") == result.steps - 1, "the first says how long one takes"


def test_where_nothing_ends_a_row_no_loop_looks_for_it(gpu):
    it = gpu(cuda=LOOPS)
    it.solved()
    assert it.driver.count("search_again") == 0 and it.driver.count("cuGraphLaunch") == 15


def test_between_two_turns_the_limit_alone_is_uploaded(gpu):
    it = gpu(SETTINGS["lbfgs"])
    there, here = it.start(), it.start()
    it.runtime.solve(there, 8)
    it.driver.clear()
    for _ in range(2):
        it.runtime.solve(there, 8)
    assert (it.driver.count("uploads"), it.driver.count("bytes up")) == (2, 2 * 4 * 4)
    it.host.solve(here, 24)
    assert_equal(there, here)


def test_a_state_that_was_changed_between_two_turns_is_uploaded_again(gpu):
    it = gpu()
    there, here = it.start(), it.start()
    for state, runtime in ((there, it.runtime), (here, it.host)):
        runtime.solve(state, 8)
        state.z = state.z / 2
        runtime.solve(state, 8)
    assert_equal(there, here)


def test_one_row_does_not_run_in_a_batch_of_sixty_four(gpu):
    it = gpu()
    it.solved(64, steps=4)
    it.solved(1, steps=4)
    it.solved(40, steps=4)
    assert it.executor.bound == [("step", 64), ("step", 1)]


def test_a_few_rows_run_in_what_is_bound_where_another_size_had_to_be_built(gpu, monkeypatch):
    it = gpu()
    monkeypatch.setattr(it.executor, "at_hand", lambda graph, rows: None)
    it.solved(64, steps=4)
    assert it.executor.bound == [("step", 64), ("generator", 64)], "the generator is built before the run"
    there = it.solved(1, steps=4)
    generate(it.runtime, there.z)
    assert len(it.executor.bound) == 2


def test_more_rows_than_run_together_are_searched_for_part_by_part(gpu):
    it = gpu()
    there, here = it.start(150), it.start(150)
    for n in (7, 20):
        it.runtime.solve(there, n)
        it.host.solve(here, n)
        assert_equal(there, here)
    assert {batch for _, batch in it.executor.bound} == {64, 32}


def test_threads_take_turns_and_leave_nothing_behind(gpu):
    it = gpu(ENDING)
    expected = {rows: it.solved(rows, steps=60) for rows in (1, 3)}
    found = {rows: [] for rows in expected}
    events = it.driver.count("events")

    def search(rows: int) -> None:
        for _ in range(3):
            found[rows].append(it.solved(rows, steps=60))

    threads = [threading.Thread(target=search, args=(rows,)) for rows in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows, states in found.items():
        assert len(states) == 3
        for state in states:
            np.testing.assert_array_equal(state.best_z, expected[rows].best_z)
    assert it.driver.count("events") == events


def test_when_every_row_has_stopped_no_more_steps_are_enqueued(gpu):
    it = gpu(replace(SETTINGS["adam"], steps=1000, goal=20.0))
    there, here = it.solved(steps=1000), it.start()
    it.host.solve(here, 1000)
    assert (there.status == REACHED).all() and there.ended
    assert it.driver.count("adam_step") < there.step + 4
    for name in ("status", "steps", "best_z", "best_loss", "z"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)


def test_rows_that_pad_a_batch_change_nothing(gpu):
    it = gpu()
    full = it.start(4)
    it.runtime.solve(full, 20)  # leaves its rows where padding will be
    few, here = it.start(3), it.start(3)
    it.runtime.solve(few, 20)
    it.host.solve(here, 20)
    assert_equal(few, here)
    assert few.status.tolist() == [RUNNING] * 3 and it.executor.bound == [("step", 4)]


def test_results_are_the_host_s_and_stay_when_the_buffers_are_used_again(gpu):
    it = gpu()
    state = it.start()
    it.runtime.solve(state, 10)
    kept = {name: array.copy() for name, array in state.arrays.items()}
    it.runtime.solve(it.start(4), 10)
    for name, array in kept.items():
        np.testing.assert_array_equal(state.arrays[name], array, err_msg=name)


@pytest.mark.parametrize("rows", [1, 3, 64, 150])
def test_pictures_are_those_of_the_host(rows, gpu):
    it = gpu()
    state = it.start(rows)
    known = state.task.weight[:, 0] > 0
    np.testing.assert_array_equal(generate(it.runtime, state.z), generate(it.host, state.z))
    np.testing.assert_array_equal(
        it.runtime.compose(state.z, state.task.target, known),
        it.host.compose(state.z, state.task.target, known),
    )
    assert max(batch for _, batch in it.executor.bound) <= 64


def test_an_evaluation_is_that_of_the_host(gpu):
    it = gpu()
    state = it.start()
    there, here = (evaluate(runtime, state.z, state.task) for runtime in (it.runtime, it.host))
    for name, value in here._asdict().items():
        np.testing.assert_array_equal(getattr(there, name), value, err_msg=name)


class Negative(HostRuntime):
    """Draws the negative of uint8 pictures whose axes are in another order."""

    def run(self, graph, feeds):
        return {"drawn": 255 - feeds["image"]}


def bytes_network(driver, layout="NHWC", batch=None):
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
    host, device = Negative(), open_device()
    executor = FunctionExecutor(driver, device, model, host)
    return model, host, executor, DeviceRuntime("fake", model, device, executor)


@pytest.mark.parametrize(("layout", "batch", "bound"), [
    ("NHWC", None, [("completion", 8)]), ("NHWC", 3, [("completion", 3)]), ("HWC", None, [("completion", 1)]),
])  # fmt: skip
def test_a_network_of_bytes_in_any_layout_is_bound_in_its_own_types_and_rows(layout, batch, bound, driver):
    model, host, executor, there = bytes_network(driver, layout, batch)
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


def test_buffers_are_allocated_once_and_all_given_back(gpu):
    it = gpu(SETTINGS["hmc"])
    taken = set()
    for seed in range(5):
        state = it.solved()
        generate(it.runtime, state.z + seed)
        taken.add(it.driver.count("bytes"))
    assert len(taken) == 1
    footprint = it.runtime.footprint()
    assert footprint.device_bytes == it.driver.count("bytes") and footprint.plan_bytes == 7
    it.runtime.close()
    assert it.driver.count("bytes") == it.driver.count("allocations") == it.driver.count("executables") == 0


def test_times_are_those_of_the_host_and_of_the_events(gpu):
    times = gpu().runtime.timed(gpu().start(), 60)
    assert 0 < times.host < 60 and 0 < times.device < 60 and 0 < times.copies < 60


@pytest.mark.parametrize(("integrated", "memory"), [(False, 300_000), (True, 450_000)])
def test_a_batch_that_has_no_room_names_the_one_that_fits(integrated, memory, gpu, monkeypatch):
    monkeypatch.setattr("edgefill.machine.available_memory", lambda: memory)
    it = gpu(memory=memory, integrated=integrated)  # where memory is shared the host's copies have to fit too
    with pytest.raises(InputError, match=r"a batch of 64 pictures needs .* MB .* use --batch \d+") as caught:
        it.runtime.solve(it.start(64), 10)
    fits = int(str(caught.value).rsplit(" ", 1)[1])
    assert fits > 1
    it.runtime.solve(it.start(fits), 10)
    assert it.driver.count("current contexts") == 0


def test_a_library_that_refuses_is_an_error_and_the_context_is_left(gpu):
    it = gpu(graph=False)
    it.executor.refuses = True
    with pytest.raises(EngineError, match="refuses to run step"):
        it.runtime.solve(it.start(), 10)
    assert it.driver.count("current contexts") == 0


def test_a_graph_that_does_not_launch_is_an_error(gpu):
    it = gpu()
    it.driver.fail("cuGraphLaunch", CAPTURE_INVALIDATED)
    with pytest.raises(EngineError, match="cuGraphLaunch failed"):
        it.runtime.solve(it.start(), 10)
    assert it.driver.count("current contexts") == 0
