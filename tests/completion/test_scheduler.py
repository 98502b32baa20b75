"""Jobs of several clients in one scheduler: who is in a batch, until when, and what it owes nobody."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgefill.completion import (
    Completer,
    Failure,
    Job,
    Request,
    Result,
    Scheduler,
    SearchSettings,
    scheduler,
    state,
    worker,
)
from edgefill.errors import Busy, InputError, ModelError
from edgefill.model.interface import Sizes
from edgefill.model.manifest import Manifest, completion_interface
from edgefill.runtimes import Interrupted
from edgefill.runtimes.host import HostRuntime
from tests.completion.fakes import Clock, FakeRuntime, fake_model, fake_runtime

MODEL = fake_model()
HEALTHY = fake_runtime(MODEL)
SETTINGS = SearchSettings("adam", steps=60, lr=0.1)
ENDLESS = replace(SETTINGS, steps=20_000)
ROOT = Path(__file__).resolve().parents[2]
LONG = 60  # seconds that nothing here takes
NETWORK = Manifest(
    "flat", interface=completion_interface(1, trained_side=8, sizes=Sizes(multiple=4), reach=4)
)


def grey(level: int) -> np.ndarray:
    return np.full((8, 8, 1), level, np.uint8)


def request(settings: SearchSettings = SETTINGS, **asked) -> Request:
    return Request("left", settings=settings, **asked)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture
def gathering(monkeypatch) -> None:
    """A batch waits for all that is being read and is about to come, however slow this machine is."""
    monkeypatch.setattr(worker, "_GATHER", LONG)


def until(condition: Callable[[], bool]) -> None:
    """Waits until ``condition()`` holds."""
    ends_at = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends_at, "it never came to be"
        time.sleep(0.001)


class Gate:
    """A runtime whose evaluations wait until it is opened, and that notes whom they are for.

    Each takes a second of its ``clock``.
    """

    def __init__(self, *, is_open: bool = False, clock: Clock | None = None, seconds: float = 0.0) -> None:
        self._seconds = seconds  # that each takes of everybody's clock
        self.opened, self.entered = threading.Event(), threading.Event()
        self.seen: list[list[int]] = []  # the levels of the rows of each evaluation
        self._clock = clock or Clock()
        if is_open:
            self.opened.set()
        self.runtime = FakeRuntime(self._step, HEALTHY.generate)

    def _step(self, z, task):
        self.seen.append([round(127.5 * (each + 1)) for each in task.target[:, 0, 0, 7]])
        self.entered.set()
        assert self.opened.wait(LONG)
        self._clock.now += 1
        time.sleep(self._seconds)
        return HEALTHY.step(z, task)


class Flat(HostRuntime):
    """A network that draws grey; each pass waits for the gate."""

    def __init__(self) -> None:
        self.opened, self.entered, self.interrupted = (threading.Event() for _ in range(3))
        self.rows: list[int] = []

    def interrupt(self):
        self.interrupted.set()
        self.opened.set()

    def run(self, graph, feeds):
        self.rows.append(len(feeds["picture"]))
        self.entered.set()
        assert self.opened.wait(LONG)
        if self.interrupted.is_set():
            raise Interrupted
        return {"completed": np.zeros_like(feeds["picture"])}


def alone(level: int, asked: Request) -> Result:
    with Scheduler(MODEL, HEALTHY) as own:
        return own.submit(Job(grey(level), asked)).result()


def test_a_slow_source_holds_no_finished_picture_back():
    came = threading.Event()

    def sources():
        yield grey(100)
        assert came.wait(LONG), "the second picture was waited for"
        yield grey(50)

    outcomes = Completer(MODEL, HEALTHY).complete_many(sources(), request())
    assert isinstance(next(outcomes), Result)
    came.set()
    assert [type(outcome) for outcome in outcomes] == [Result]


def test_what_the_sources_raise_comes_after_what_they_gave():
    def sources():
        yield grey(100)
        raise OSError("the camera is gone")

    outcomes = Completer(MODEL, HEALTHY).complete_many(sources(), request())
    assert isinstance(next(outcomes), Result)
    with pytest.raises(OSError, match="camera"):
        next(outcomes)


def test_jobs_that_differ_in_all_that_rows_may_differ_in_share_a_batch_to_the_bit(gathering):
    asked = [
        request(replace(SETTINGS, steps=40, power=2, pull=0.3)),
        request(replace(SETTINGS, steps=60, starts=3, lam=0.7), seed=7),
        replace(request(replace(SETTINGS, importance=3)), mask="random:0.4"),
    ]
    gate = Gate()
    with Scheduler(MODEL, gate.runtime) as shared:
        with shared.more_to_come():
            futures = [shared.submit(Job(grey(60 + number), each)) for number, each in enumerate(asked)]
        gate.opened.set()
        results = [future.result() for future in futures]
    assert max(map(len, gate.seen)) == 3
    for number, (each, result) in enumerate(zip(asked, results, strict=True)):
        expected = alone(60 + number, each)
        assert result.steps == each.settings.steps
        np.testing.assert_array_equal(result.z, expected.z)
        np.testing.assert_array_equal(result.picture.values, expected.picture.values)


@pytest.mark.parametrize(
    "other", [{"solver": "momentum"}, {"lam": 0.0}, {"tolerance": 0.2}, {"lr_falls": True}]
)
def test_what_a_state_has_for_all_rows_is_never_mixed(other):
    gate = Gate()
    asked = [request(), request(replace(SETTINGS, **other))]
    with Scheduler(MODEL, gate.runtime) as shared:
        futures = [shared.submit(Job(grey(60), each)) for each in asked]
        assert gate.entered.wait(LONG)
        gate.opened.set()
        results = [future.result() for future in futures]
    assert {len(rows) for rows in gate.seen} == {1}
    for each, result in zip(asked, results, strict=True):
        np.testing.assert_array_equal(result.z, alone(60, each).z)


def test_threads_that_share_a_completer_get_the_bytes_that_they_get_alone():
    levels = range(40, 64)
    with Completer(MODEL, HEALTHY) as completer, ThreadPoolExecutor(8) as clients:

        def complete(level: int) -> np.ndarray:
            return completer.complete(grey(level), "random:0.4", seed=level, settings=SETTINGS).picture.values

        together = list(clients.map(complete, levels))
    for level, values in zip(levels, together, strict=True):
        asked = replace(request(), mask="random:0.4", seed=level)
        np.testing.assert_array_equal(values, alone(level, asked).picture.values)


def test_a_higher_priority_is_first_and_else_who_came_first():
    gate = Gate()
    with Scheduler(MODEL, gate.runtime, batch=1) as shared:
        futures = [shared.submit(Job(grey(200), request()))]
        assert gate.entered.wait(LONG)
        jobs = [Job(grey(level), request(), priority=level // 10) for level in (50, 51, 80, 10)]
        futures += map(shared.submit, jobs)
        until(lambda: len(shared._state.line.ready) == 2)  # the first, and one that came later
        gate.opened.set()
        wait(futures)
    assert [row for row, _ in itertools.groupby(rows[0] for rows in gate.seen)] == [200, 80, 50, 51, 10]


def test_a_job_that_is_cancelled_frees_its_place_while_it_runs():
    gate = Gate()
    with Scheduler(MODEL, gate.runtime, batch=1) as shared:
        endless = shared.submit(Job(grey(200), request(ENDLESS)))
        assert gate.entered.wait(LONG)
        waits, follows = (shared.submit(Job(grey(level), request())) for level in (20, 90))
        assert waits.cancel() and endless.cancel() and endless.cancel() and endless.cancelled()
        assert wait([endless, waits], LONG).not_done == set(), "who waits for several is told"
        gate.opened.set()
        assert follows.result(LONG).steps == 60
        with pytest.raises(CancelledError):
            endless.result()
        assert not follows.cancel()
        assert shared.drain(LONG) and shared.load.finished == {"cancelled": 2, "steps": 1}
    assert not any(20 in rows for rows in gate.seen)


def test_a_job_that_is_cancelled_when_it_is_read_lets_the_next_one_be_read():
    gate = Gate()
    with Scheduler(MODEL, gate.runtime, batch=1) as shared:
        endless, line = shared.submit(Job(grey(200), request(ENDLESS))), shared._state.line
        assert gate.entered.wait(LONG)
        waits = shared.submit(Job(grey(20), request()))
        until(lambda: len(line.ready) == 1)
        follows = shared.submit(Job(grey(90), request()))
        assert len(line.ready) == 1 and not line.is_reading and waits.cancel()
        until(lambda: len(line.ready) == 1)
        assert endless.cancel()
        gate.opened.set()
        assert follows.result(LONG).steps == 60


def test_too_many_that_wait_are_refused_and_so_are_all_when_it_closes():
    gate = Gate()
    with Scheduler(MODEL, gate.runtime, batch=1, waiting=2) as shared:
        first = shared.submit(Job(grey(1), request()))
        assert gate.entered.wait(LONG)
        others = [shared.submit(Job(grey(2), request())) for _ in range(2)]
        with pytest.raises(Busy, match="2 jobs wait for fake"):
            shared.submit(Job(grey(3), request()))
        load = shared.load
        assert (load.waiting, load.running) == (2, 1)
        assert not shared.drain(0.01)
        with pytest.raises(Busy, match="takes no more jobs"):
            shared.submit(Job(grey(3), request()))
        gate.opened.set()
        assert shared.drain(LONG) and all(future.done() for future in (first, *others))


def test_closing_cancels_what_is_under_way():
    gate = Gate(is_open=True, seconds=0.001)
    shared = Scheduler(MODEL, gate.runtime, batch=1)
    futures = [shared.submit(Job(grey(1), request(ENDLESS))) for _ in range(3)]
    assert gate.entered.wait(LONG)
    shared.close()
    assert all(future.cancelled() for future in futures)


def test_a_deadline_ends_a_search_with_the_best_so_far(clock):
    gate = Gate(is_open=True, clock=clock)
    with Scheduler(MODEL, gate.runtime) as shared:
        result = shared.submit(Job(grey(200), request(ENDLESS), deadline=7.5)).result()
    assert (result.ended, result.steps, len(gate.seen)) == ("time", 7, 7)
    assert result.loss < np.inf
    np.testing.assert_array_equal(result.picture.values[:, 4:], grey(200)[:, 4:])


def late_beside_an_endless_one(clock: Clock, **asked) -> Result:
    """What becomes of a job with a deadline that finds no place: it ends before the one that has it."""
    gate = Gate(clock=clock, seconds=0.001)
    with Scheduler(MODEL, gate.runtime, batch=1) as shared:
        endless = shared.submit(Job(grey(200), request(ENDLESS)))
        assert gate.entered.wait(LONG)
        late = shared.submit(Job(grey(90), request(ENDLESS, **asked), deadline=3.5))
        gate.opened.set()
        result = late.result(LONG)
        assert not endless.done()
        endless.cancel()
    assert (result.ended, result.steps) == ("time", 0)
    return result


def test_a_deadline_holds_for_one_that_finds_no_place(clock):
    late = late_beside_an_endless_one(clock)
    assert (late.loss, late.contextual, late.prior) == (None, None, None)
    assert "ended by 'time', 0 steps, " in repr(late)
    np.testing.assert_array_equal(late.picture.values[:, 4:], grey(90)[:, 4:])
    assert (late.picture.values[:, :4] != 90).any(), "what the generator draws at the start"


def test_nothing_is_said_to_be_sure_where_there_was_no_time_to_look(clock):
    late = late_beside_an_endless_one(clock, candidates=4, confidence=True)
    assert len(late.candidates) == 1
    assert (late.confidence[:, :4] == 0).all() and (late.confidence[:, 4:] == 255).all()


def test_a_deadline_holds_for_candidates(clock):
    gate = Gate(is_open=True, clock=clock)
    with Completer(MODEL, gate.runtime) as completer:
        asked = {"settings": ENDLESS, "candidates": 4, "confidence": True, "deadline": 30.5}
        result = completer.complete(grey(200), "left", **asked)
    assert result.ended == "time" and 1 <= len(result.candidates) <= 4 and len(gate.seen) <= 31


def test_a_time_of_the_settings_holds_for_arrays(clock):
    gate = Gate(is_open=True, clock=clock)
    known = np.ones((3, 8, 8), bool)
    known[:, :, :4] = False
    with Completer(MODEL, gate.runtime) as completer:
        limited = replace(ENDLESS, milliseconds=9_500)
        filled = completer.fill(np.stack([grey(200)] * 3), known, settings=limited)
    assert filled.shape == (3, 8, 8, 1) and len(gate.seen) == 9


def test_a_network_that_has_no_time_left_leaves_a_smooth_filling(clock):
    runtime = Flat()
    with Scheduler(NETWORK, runtime, batch=1) as shared:
        first = shared.submit(Job(grey(10), Request("left")))
        assert runtime.entered.wait(LONG)
        late = shared.submit(Job(grey(90), Request("left"), deadline=0.5))
        clock.now += 1
        runtime.opened.set()
        assert first.result().ended == "pass"
        result = late.result()
    assert result.ended == "time" and runtime.rows == [1]
    np.testing.assert_array_equal(result.picture.values, grey(90))


def test_a_pass_that_is_late_for_all_that_wait_for_it_is_ended(clock):
    runtime = Flat()
    with Scheduler(NETWORK, runtime) as shared:
        late = shared.submit(Job(grey(90), Request("left"), deadline=0.1))
        assert runtime.entered.wait(LONG)
        clock.now += 1
        result = late.result(LONG)
        assert runtime.interrupted.wait(LONG)
        runtime.interrupted.clear()
        assert shared.submit(Job(grey(90), Request("left"))).result(LONG).ended == "pass", "the next one"
        assert shared.drain(LONG) and shared.load.finished == {"time": 1, "pass": 1}
    assert result.ended == "time"
    np.testing.assert_array_equal(result.picture.values, grey(90))


def test_a_pass_that_was_slow_for_once_does_not_keep_all_others_from_theirs(clock):
    class Starting(Flat):
        def run(self, graph, feeds):
            clock.now += 0.01 if self.rows else 10
            return super().run(graph, feeds)

    runtime = Starting()
    runtime.opened.set()
    with Scheduler(NETWORK, runtime) as shared:
        assert shared.submit(Job(grey(90), Request("left"))).result(LONG).ended == "pass"
        jobs = (Job(grey(90), Request("left"), deadline=1) for _ in range(20))
        ended = [shared.submit(job).result(LONG).ended for job in jobs]
    assert (ended[0], ended[-1]) == ("time", "pass")


def test_what_is_drawn_is_called_for_before_its_finishing_has_to_begin():
    runtime = Flat()
    with Scheduler(NETWORK, runtime) as shared:
        shared._state.pace.finished(64, LONG)
        future = shared.submit(Job(grey(90), Request("left"), deadline=LONG))
        assert runtime.entered.wait(LONG)
        assert shared._helpers._alarm._at - time.monotonic() <= LONG / 2
        runtime.opened.set()
        assert future.result(LONG).ended == "pass"


def test_a_pass_goes_on_for_others_and_who_is_late_is_answered_meanwhile():
    runtime = Flat()
    with Scheduler(NETWORK, runtime) as shared:
        patient = shared.submit(Job(grey(10), Request("left")))
        assert runtime.entered.wait(LONG)
        late = shared.submit(Job(grey(90), Request("left"), deadline=0.1))
        assert late.result(LONG).ended == "time" and not patient.done()
        assert not runtime.interrupted.is_set()
        runtime.opened.set()
        assert patient.result(LONG).ended == "pass"
    np.testing.assert_array_equal(late.result().picture.values, grey(90))


def test_what_could_not_be_done_in_time_is_refused_at_once():
    """Each job took its place for half a second of everybody's clock, beside another."""
    gate = Gate(is_open=True)
    with Scheduler(MODEL, gate.runtime, batch=1, waiting=100) as shared:
        shared._state.pace.ended(0.5, 2)
        gate.opened.clear()
        shared.submit(Job(grey(1), request(), deadline=LONG))
        assert gate.entered.wait(LONG)
        waiting = [shared.submit(Job(grey(2), request(), deadline=LONG)) for _ in range(3)]
        with pytest.raises(Busy, match=r"3 jobs wait for fake, and it is about 1\.5 seconds") as refused:
            shared.submit(Job(grey(3), request(), deadline=1.4))
        assert refused.value.seconds == 1
        soon = shared.submit(Job(grey(3), request(), deadline=LONG))
        first = shared.submit(Job(grey(3), request(), deadline=1.4, priority=1))
        for future in (*waiting, soon, first):
            future.cancel()
        gate.opened.set()


def test_what_is_made_of_a_result_is_made_where_it_is_finished():
    with Scheduler(MODEL, HEALTHY) as shared:
        made = [
            shared.submit(Job(picture, request()), lambda result: (result.steps, threading.current_thread()))
            for picture in (grey(5), np.dstack([grey(5), grey(255)]))
        ]
        steps, thread = made[0].result(LONG)
        unchanged = shared.submit(
            Job(np.dstack([grey(5), grey(255)]), Request("alpha")), lambda each: each.steps
        )
        assert steps == 60 and "edgefill-pictures" in thread.name and unchanged.result(LONG) == 0
        assert shared.drain(LONG) and shared.load.finished["steps"] == 3


def test_passes_for_several_clients_go_through_the_network_together():
    runtime = Flat()
    with Scheduler(NETWORK, runtime) as shared:
        first = shared.submit(Job(grey(10), Request("left")))
        assert runtime.entered.wait(LONG)
        others = [shared.submit(Job(grey(20), Request("left"))) for _ in range(4)]
        until(lambda: len(shared._state.line.ready) == 4)
        runtime.opened.set()
        wait([first, *others])
        assert runtime.rows == [1, 4] and shared.load.steps == 2


def test_a_step_that_fails_is_an_error_of_all_that_it_was_for_and_of_no_others():
    broken = True

    def step(z, task):
        if broken:
            raise ModelError("the graph does not run")
        return HEALTHY.step(z, task)

    with Completer(MODEL, FakeRuntime(step, HEALTHY.generate)) as completer:
        with pytest.raises(ModelError, match="does not run"):
            list(completer.complete_many([grey(1), grey(2)], request()))
        broken = False
        assert completer.complete(grey(1), "left", settings=SETTINGS).steps == 60


def test_what_ended_in_the_turn_in_which_the_runtime_fails_is_not_forgotten(clock):
    gate = Gate(clock=clock)
    healthy = gate.runtime.step

    def step(z, task):
        if clock.now > 3.5:
            raise ModelError("the graph does not run")
        return healthy(z, task)

    gate.runtime.step = step
    with Scheduler(MODEL, gate.runtime, batch=1) as shared:
        endless = shared.submit(Job(grey(200), request(ENDLESS)))
        assert gate.entered.wait(LONG)
        late = shared.submit(Job(grey(90), request(ENDLESS), deadline=3.5))
        gate.opened.set()
        assert wait([endless, late], LONG).not_done == set()
        assert endless.concerns_all and isinstance(endless.exception(), ModelError)


def test_jobs_that_nobody_waits_for_do_not_keep_the_interpreter_from_ending():
    code = """
from edgefill.completion import Job, Request, Scheduler, SearchSettings
from tests.completion.test_scheduler import HEALTHY, MODEL, grey, request
shared = Scheduler(MODEL, HEALTHY, batch=2)
futures = [shared.submit(Job(grey(level), request())) for level in range(20)]
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=LONG
    )
    assert done.returncode == 0 and done.stderr == ""


def test_who_watches_is_told_and_hurts_only_his_own_job():
    told: list[tuple[float, bool]] = []

    def watch(progress):
        told.append((progress.done, progress.image is not None))

    def lie(progress):
        raise ZeroDivisionError

    with Scheduler(MODEL, HEALTHY) as shared:
        watched = shared.submit(Job(grey(60), request(frames=4), on_progress=watch))
        spoilt = shared.submit(Job(grey(60), request(), on_progress=lie))
        assert watched.result().steps == 60
        with pytest.raises(ZeroDivisionError):
            spoilt.result()
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] <= 1
    assert sum(shown for _, shown in told) >= 3


def test_a_job_can_be_awaited_and_cancelled_there():
    async def clients() -> tuple[Result, bool]:
        quick = asyncio.wrap_future(shared.submit(Job(grey(60), request())))
        endless = shared.submit(Job(grey(60), request(ENDLESS)))
        waiter = asyncio.wrap_future(endless)
        result = await quick
        waiter.cancel()
        await asyncio.sleep(0)
        return result, endless.cancelled()

    with Scheduler(MODEL, Gate(is_open=True, seconds=0.001).runtime) as shared:
        result, is_cancelled = asyncio.run(clients())
    assert result.steps == 60 and is_cancelled


def test_a_job_that_is_gone_while_it_is_read_counts_no_more(monkeypatch):
    begun, may_end, read = threading.Event(), threading.Event(), scheduler.read

    def slowly(*given):
        begun.set()
        assert may_end.wait(LONG)
        return read(*given)

    monkeypatch.setattr(scheduler, "read", slowly)
    with Scheduler(MODEL, HEALTHY) as shared:
        future = shared.submit(Job(grey(9), request()))
        assert begun.wait(LONG) and future.cancel() and shared.drain(LONG)
        load = shared.load
        may_end.set()
    assert (load.waiting, load.running) == (0, 0)


def test_who_goes_away_cancels_what_he_ordered():
    gate = Gate(is_open=True)
    with Completer(MODEL, gate.runtime) as completer:
        outcomes = completer.complete_many(
            itertools.repeat(grey(9)), request(replace(SETTINGS, steps=5)), batch=2
        )
        assert isinstance(next(outcomes), Result)
        outcomes.close()
        assert completer.scheduler.drain(LONG)
        load = completer.scheduler.load
        assert (load.waiting, load.running) == (0, 0)


def is_at_rest(shared: Scheduler) -> bool:
    return not shared._worker._is_working


def test_a_scheduler_without_jobs_waits_for_nothing_and_leaves_no_thread():
    def ours() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name.startswith("edgefill")} - before

    before = set(threading.enumerate())
    completer = Completer(MODEL, HEALTHY)
    assert not ours()
    list(completer.complete_many([grey(1)] * 3, request()))
    until(partial(is_at_rest, completer.scheduler))
    assert ours()
    del completer
    gc.collect()
    until(lambda: not ours())


def test_places_are_taken():
    """Pictures that end at steps of their own, on a backend that is no faster than they are read."""
    settings = replace(SETTINGS, patience=3, tolerance=0.03, steps=100)
    rng = np.random.default_rng(0)
    sources = [rng.integers(100, 160, (8, 8, 1), np.uint8) for _ in range(300)]
    asked = Request("random:0.3", settings=settings, blend="none")
    gate = Gate(seconds=0.001)
    healthy = gate.runtime.step

    def step(z, task):
        until(are_read)
        return healthy(z, task)

    gate.runtime.step = step
    with Scheduler(MODEL, gate.runtime) as shared:
        line, jobs = shared._state.line, shared._state

        def are_read() -> bool:
            with jobs.changed:
                return not jobs.finishing and len(line.ready) == min(shared.room, len(line))

        futures = [shared.submit(Job(source, asked)) for source in sources]
        gate.opened.set()
        results = [future.result(LONG) for future in futures]
        load = shared.load
    assert len({result.steps for result in results}) > 10
    assert sum(result.steps for result in results) == load.rows_used
    assert load.rows_used >= 0.9 * load.rows_there


def test_large_pictures_are_not_read_long_before_their_turn(monkeypatch):
    monkeypatch.setattr(state, "_AHEAD_BYTES", 64)  # one picture of these
    taken = []

    def sources():
        for level in range(40):
            taken.append(level)
            yield grey(level)

    with Completer(MODEL, HEALTHY) as completer:
        outcomes = completer.complete_many(sources(), request(replace(SETTINGS, steps=2)))
        for number, outcome in enumerate(outcomes, start=1):
            assert isinstance(outcome, Result)
            assert len(taken) <= number + 8 + 1


def test_a_picture_that_cannot_be_read_is_its_own_error():
    with Scheduler(MODEL, HEALTHY) as shared:
        with pytest.raises(InputError, match=r"gone\.png"):
            shared.submit(Job("gone.png", request())).result()
        with pytest.raises(InputError, match="no kind"):
            shared.submit(Job(grey(1), Request("heart")))
        with pytest.raises(InputError, match="within -1 seconds"):
            Job(grey(1), deadline=-1)
    assert isinstance(next(Completer(MODEL, HEALTHY).complete_many(["gone.png"])), Failure)
