"""One builder for every release; the same tests run in the real TensorRT for RTX."""

from __future__ import annotations

import signal
import threading

import pytest

from edgefill.errors import EngineError
from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.recipe import Recipe, static
from tests.export.engines.conftest import tiny_graph
from tests.fakes.tensorrt import RELEASES, FakeTensorRT

REAL = "the real TensorRT for RTX"


@pytest.fixture(params=[*RELEASES, "1.7.1", REAL])
def library(request, monkeypatch):
    """The name of a library to build with, after which nothing differs any more."""
    if request.param == REAL:
        pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is x86-64 only")
        return "rtx"
    fake = FakeTensorRT(request.param, rtx=request.param == "1.7.1").install(monkeypatch)
    return "rtx" if fake.rtx else "tensorrt"


def recipe(library, batch=(2, 2, 2)):
    return Recipe("generator", "fp32", library, batch)


@pytest.mark.parametrize("batch", [static(3), (1, 2, 4)])
def test_plan_is_built_without_a_complaint(library, batch):
    plan = build_plan(tiny_graph(), recipe(library, batch), level=1, free=1 << 30)
    assert len(plan.content) > 100 and plan.complaints == () and plan.seconds > 0


def test_graph_that_cannot_be_read_is_an_error_with_the_parsers_words(library):
    with pytest.raises(
        EngineError, match=r"cannot read the graph generator(.|\n)*Failed to parse the ONNX model"
    ):
        build_plan(b"no graph", recipe(library))


def test_progress_counts_every_phase_to_its_end(library):
    seen = []
    build_plan(tiny_graph(), recipe(library), progress=lambda *state: seen.append(state))
    assert {"Building engine"} <= {phase for phase, _, _ in seen}
    assert all(0 <= done <= total for _, done, total in seen)
    for phase in {phase for phase, _, _ in seen}:
        last = [state for state in seen if state[0] == phase][-1]
        assert last[1] == last[2]


def test_ctrl_c_ends_the_build_and_is_raised_once(library):
    def interrupt(phase, done, total):
        if done == 1:
            signal.raise_signal(signal.SIGINT)
        phases.append(phase)

    phases, before = [], signal.getsignal(signal.SIGINT)  # a shell in the background ignores it
    with pytest.raises(KeyboardInterrupt):
        build_plan(tiny_graph(), recipe(library), progress=interrupt)
    ended = len(phases)
    assert signal.getsignal(signal.SIGINT) is before
    phases.clear()
    build_plan(tiny_graph(), recipe(library), progress=lambda phase, *_: phases.append(phase))
    assert ended < len(phases)


def test_build_outside_the_main_thread_works(library):
    plans = []
    thread = threading.Thread(target=lambda: plans.append(build_plan(tiny_graph(), recipe(library))))
    thread.start()
    thread.join()
    assert len(plans) == 1


def test_memory_is_held_to_half_of_what_is_free(tensorrt):
    build_plan(tiny_graph(), recipe("tensorrt"), level=5, free=8 << 30)
    ((_, config),) = tensorrt.arguments("build_serialized_network")
    assert config.pools == {"WORKSPACE": 4 << 30, "TACTIC_DRAM": 4 << 30}
    assert config.builder_optimization_level == 5


def test_nothing_is_limited_that_need_not_be(tensorrt):
    build_plan(tiny_graph(), recipe("tensorrt"))
    ((_, config),) = tensorrt.arguments("build_serialized_network")
    assert config.pools == {} and config.builder_optimization_level == 3


def test_shapes_are_fixed_unless_a_range_is_wanted(tensorrt):
    build_plan(tiny_graph(), recipe("tensorrt", static(8)))
    build_plan(tiny_graph(), recipe("tensorrt", (1, 2, 4)))
    (fixed, without), (ranged, config) = tensorrt.arguments("build_serialized_network")
    assert fixed.inputs[0].shape == (8, 4) and without.profiles == []
    assert ranged.inputs[0].shape == (-1, 4)
    assert config.profiles[0].shapes == {"z": ((1, 4), (2, 4), (4, 4))}


def test_warnings_come_back_with_the_plan(tensorrt):
    tensorrt.warns = ["a layer was cast"]
    assert build_plan(tiny_graph(), recipe("tensorrt")).complaints == ("a layer was cast",)


def test_want_of_memory_says_what_was_allowed_and_names_the_batch(tensorrt):
    tensorrt.failing["build_serialized_network"] = None
    tensorrt.says = [(1, "Requested amount of GPU memory (4 GB) could not be allocated")]
    with pytest.raises(EngineError, match=r"could not be allocated\n4000 MB were allowed.*smaller --batch"):
        build_plan(tiny_graph(), recipe("tensorrt"), free=8_000_000_000)
