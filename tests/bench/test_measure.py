from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgefill.bench import measure
from edgefill.bench.board import Silent
from edgefill.bench.measure import Subject
from edgefill.bench.timing import Rule
from edgefill.completion import Completer, SearchSettings
from edgefill.errors import ModelError
from edgefill.kernels.device import CaptureFailed, open_device
from edgefill.methods.latent.search import Evaluation
from edgefill.runtimes.device.runtime import DeviceRuntime
from tests.bench.fakes import FIRST_SECONDS, MODEL, SEARCH_SECONDS, SEARCH_STEPS, TimedRuntime
from tests.completion.fakes import fake_runtime
from tests.runtimes.device.gpu import FunctionExecutor

QUICK = Rule(warm_up=0.0, seconds=1e-6, iterations=10)
SETTINGS = SearchSettings("adam", steps=SEARCH_STEPS)


class Counter:
    """A board whose energy rises by 30 J between two readings."""

    source = "made up"

    def __init__(self):
        self.readings = iter(range(100, 1000, 30))

    def joules(self):
        return float(next(self.readings))

    def clock_mhz(self):
        return 918


@pytest.fixture
def measured(monkeypatch):
    """The figures and the trial of a scripted runtime, in its own time."""

    def run(runtime, batch=5, settings=SETTINGS, board=None, progress=lambda phase, share: None):
        monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=runtime.clock))
        return Subject(Completer(MODEL, runtime), batch, settings).measured(
            QUICK, board or Silent(), progress
        )

    return run


def test_a_step_is_its_share_of_a_launch(measured):
    figures, _ = measured(TimedRuntime(at_once=4))
    assert (figures.step_ms.median, figures.enqueue_ms.median, figures.copies_ms) == (2.0, 1.0, 1.0)
    assert figures.step_ms.samples == figures.enqueue_ms.samples == 3  # 10 steps, 4 at once
    figures, _ = measured(TimedRuntime(at_once=1))
    assert figures.step_ms.median == 8.0 and figures.step_ms.samples == 10


def test_copies_are_those_of_a_search_that_begins(measured):
    runtime = TimedRuntime()
    say = runtime.timed

    def timed(state, n):
        begins = state.steps.max() == 0
        return replace(say(state, n), copies=5e-3 if begins else 1e-3)

    runtime.timed = timed
    assert measured(runtime)[0].copies_ms == 5.0


def test_first_run_is_without_building_and_loading(measured):
    figures, _ = measured(TimedRuntime())
    assert (figures.build_seconds, figures.load_seconds) == (6.0, 1.0)
    assert figures.first_run_seconds == pytest.approx(FIRST_SECONDS)


def test_pictures_are_counted_from_arrays_in_to_arrays_out(measured):
    figures, _ = measured(TimedRuntime(), batch=5)
    assert figures.completion_ms.median == pytest.approx(500)
    assert figures.picture_ms == pytest.approx(100)
    assert figures.pictures_per_second == pytest.approx(10)


def test_what_it_weighs_is_the_runtimes_word(measured):
    figures, _ = measured(TimedRuntime())
    assert (figures.memory_bytes, figures.plan_bytes) == (2000, 1000)


def test_where_nothing_lies_on_a_device_the_process_is_weighed(measured):
    runtime = TimedRuntime()
    runtime._footprint = measure.Footprint()
    runtime.footprint = lambda: measure.Footprint()
    figures, _ = measured(runtime)
    assert figures.memory_bytes > 20 << 20  # bytes and not kilobytes: NumPy alone takes more


def test_energy_is_shared_by_the_pictures_that_it_made(measured):
    figures, _ = measured(TimedRuntime(), batch=5, board=Counter())
    assert figures.picture_joules == pytest.approx(6) and figures.clock_mhz == 918
    silent, _ = measured(TimedRuntime())
    assert silent.picture_joules is None and silent.clock_mhz is None


def test_a_stop_rule_ends_pictures_and_not_the_steps_that_are_timed(measured):
    runtime = TimedRuntime(at_once=4)
    figures, _ = measured(runtime, settings=SearchSettings("adam", steps=12, goal=1e9))
    assert figures.steps_per_picture == 1
    assert all((state.steps % 4 == 0).all() and state.settings.goal is None for _, state in runtime.launches)
    assert measured(TimedRuntime())[0].steps_per_picture == 12


def test_the_search_does_not_begin_at_its_answer(measured):
    _, trial = measured(TimedRuntime())
    start, end = trial.found
    assert (start.loss > 10 * trial.task.lam).all() and (end.loss < start.loss).all()
    hole = trial.task.weight[0, 0] == 0
    assert hole.sum() == 16 and hole[2:6, 2:6].all()


def test_a_search_that_has_used_up_its_steps_is_begun_anew(measured, monkeypatch):
    monkeypatch.setattr(measure, "_STEPS", 8)
    runtime = TimedRuntime(at_once=4)
    measured(runtime)
    assert all(state.steps.max() <= 8 for _, state in runtime.launches)
    assert len({id(state) for _, state in runtime.launches[:4]}) == 2


def test_a_search_that_fails_is_an_error_and_no_figure(measured):
    runtime = TimedRuntime()
    good = runtime.step

    evaluations = []

    def broken(z, task):
        found = good(z, task)
        evaluations.append(z)
        return found._replace(loss=np.full_like(found.loss, np.nan)) if len(evaluations) == 6 else found

    runtime.step = broken
    with pytest.raises(ModelError, match="picture 0 stopped at step 6: its loss or gradient is not finite"):
        measured(runtime)


def test_differences_are_the_largest_of_any_row_and_place(measured):
    _, trial = measured(TimedRuntime(), batch=3)
    reference = TimedRuntime()
    assert trial.differences(reference) == {"loss_difference": 0.0, "gradient_difference": 0.0}
    calls, good = [], reference.step

    def shifted(z, task):
        found = good(z, task)
        calls.append(z)
        if len(calls) == 1:
            return found
        loss, gradient = found.loss.copy(), found.gradient.copy()
        loss[1] /= 1.02
        gradient[2] /= 1.1
        return Evaluation(loss, gradient, found.contextual, found.perceptual)

    reference.step = shifted
    assert trial.differences(reference) == {
        "loss_difference": pytest.approx(0.02, rel=1e-4),
        "gradient_difference": pytest.approx(0.1, rel=1e-4),
    }


def test_progress_is_told_by_phase(measured):
    said = []
    measured(TimedRuntime(), progress=lambda phase, share: said.append((phase, share)))
    assert {phase for phase, _ in said} == {"steps", "pictures"}
    assert said[-1] == ("pictures", 1.0) and ("steps", 1.0) in said


@pytest.mark.parametrize(("graph", "at_once"), [(True, 4), (False, 1)])
def test_a_device_is_measured_by_the_same_code(driver, graph, at_once):
    settings = SearchSettings("adam", steps=measure._STEPS)
    executor = FunctionExecutor(driver, open_device(), MODEL, fake_runtime(MODEL))
    runtime = DeviceRuntime("fake", MODEL, open_device(), executor, graph=graph)
    with Completer(MODEL, runtime) as completer:
        figures, trial = Subject(completer, 2, settings).measured(QUICK, Silent(), lambda phase, share: None)
    assert runtime.info.steps_at_once == at_once
    assert 0 < figures.step_ms.median < 1e3 and 0 < figures.copies_ms < 1e3
    assert figures.memory_bytes > 0 and figures.plan_bytes == 7
    assert set(trial.differences(fake_runtime(MODEL)).values()) == {0.0}


def test_a_capture_that_fails_is_measured_step_by_step(driver, monkeypatch):
    settings = SearchSettings("adam", steps=measure._STEPS)
    executor = FunctionExecutor(driver, open_device(), MODEL, fake_runtime(MODEL))
    runtime = DeviceRuntime("fake", MODEL, open_device(), executor, say=lambda _: None)

    def refused(work):
        raise CaptureFailed("not here")

    monkeypatch.setattr(runtime._device, "capture", refused)
    with Completer(MODEL, runtime) as completer:
        figures, _ = Subject(completer, 1, settings).measured(QUICK, Silent(), lambda phase, share: None)
    assert runtime.info.steps_at_once == 1 and figures.step_ms.samples == 10


def test_a_time_that_the_settings_give_holds_in_all_that_is_measured(measured):
    """Each search ends after its first step: its time is over then."""
    settings = SearchSettings("adam", steps=100_000, milliseconds=1e-6)
    figures, _ = measured(TimedRuntime(at_once=1), settings=settings)
    assert figures.steps_per_picture == 1
    assert figures.completion_ms.median <= 2 * 1e3 * SEARCH_SECONDS / SEARCH_STEPS
