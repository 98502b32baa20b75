"""What goes wrong in TensorRT, in any release, is one error with TensorRT's own words."""

from __future__ import annotations

import re
import sys

import pytest

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.library import open_library
from edgefill.export.engines.recipe import Recipe
from edgefill.extras import install_line
from tests.export.engines.conftest import tiny_graph
from tests.fakes.tensorrt import RELEASES, FakeTensorRT

WORDS = "what TensorRT says"


def build(library="tensorrt", batch=(1, 2, 4), sm=()):
    return build_plan(tiny_graph(), Recipe("generator", "fp32", library, batch, sm)).content


def run(plan, library="tensorrt"):
    opened = open_library(library)
    engine = opened.deserialize(opened.create_runtime(), plan)
    context = opened.create_context(engine, opened.create_runtime_config(engine, b"")[0])
    context.set_device_memory(256, opened.context_bytes(engine))
    return context


@pytest.mark.parametrize(("library", "package"), [("tensorrt", "tensorrt"), ("rtx", "tensorrt_rtx")])
def test_package_that_is_absent_is_named_with_the_line_that_installs_it(library, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendUnavailable, match=f"{package} .*" + re.escape(install_line(library))):
        open_library(library)


def test_unknown_library_is_refused():
    with pytest.raises(BackendUnavailable, match="expected one of tensorrt, rtx"):
        open_library("openvino")


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("create_network", None),
        ("create_builder_config", None),
        ("add_optimization_profile", -1),
        ("parse", False),
        ("build_serialized_network", None),
    ],
)
def test_build_that_fails_says_what_tensorrt_says(call, answer, version, monkeypatch):
    fake = FakeTensorRT(version).install(monkeypatch)
    fake.failing[call] = answer
    with pytest.raises(EngineError, match=f"TensorRT {version} cannot .*\n{WORDS}"):
        build()


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("call", ["Runtime", "deserialize_cuda_engine", "create_execution_context"])
def test_engine_that_does_not_load_says_what_tensorrt_says(call, version, monkeypatch):
    fake = FakeTensorRT(version).install(monkeypatch)
    plan = build()
    run(plan)
    fake.failing[call] = None
    with pytest.raises(EngineError, match=f"TensorRT {version} cannot .*\n{WORDS}"):
        run(plan)


def test_constructor_that_fails_without_a_gpu_says_what_was_logged(monkeypatch):
    FakeTensorRT(sm=None).install(monkeypatch)
    with pytest.raises(EngineError, match=r"cannot make a builder:\n.*nullptr\nCUDA initialization failure"):
        build()


def test_silence_is_reported_too(tensorrt):
    tensorrt.failing["build_serialized_network"], tensorrt.says = None, []
    with pytest.raises(EngineError, match="it does not say why"):
        build()


def test_words_of_an_earlier_failure_are_forgotten(tensorrt):
    tensorrt.failing["parse"] = False
    with pytest.raises(EngineError):
        build()
    tensorrt.failing, tensorrt.says = {"build_serialized_network": None}, []
    with pytest.raises(EngineError) as error:
        build()
    assert WORDS not in str(error.value)


@pytest.mark.parametrize(("version", "flags"), [("10.3.0", 2), ("10.16.1", 2), ("11.4.0", 0)])
def test_networks_are_strongly_typed_and_no_removed_flag_is_used(version, flags, monkeypatch):
    fake = FakeTensorRT(version).install(monkeypatch)
    build()
    assert fake.arguments("create_network") == [(flags,)]
    ((_, config),) = fake.arguments("build_serialized_network")
    assert config.flags == set() and config.max_aux_streams == 0


def test_rtx_engines_can_be_captured(monkeypatch):
    fake = FakeTensorRT("1.7.1", rtx=True).install(monkeypatch)
    library, context = open_library("rtx"), run(build("rtx"), "rtx")
    ((_, config),) = fake.arguments("build_serialized_network")
    assert {flag.name for flag in config.flags} == {"REQUIRE_USER_ALLOCATION"}
    assert library.is_capturable(context, 7)
    fake.failing["is_stream_capturable"] = False
    assert not library.is_capturable(context, 7)


def test_tensorrt_engines_can_always_be_captured(tensorrt):
    assert open_library("tensorrt").is_capturable(run(build()), 7)


def test_rtx_builds_for_the_gpus_that_are_named(monkeypatch):
    fake = FakeTensorRT("1.7.1", rtx=True, sm=None).install(monkeypatch)
    build("rtx", sm=(75, 86))
    assert fake.arguments("set_compute_capability") == [("SM75", 0), ("SM86", 1)]
    fake.failing["set_compute_capability"] = False
    with pytest.raises(EngineError, match=f"build for sm 86:\n{WORDS}"):
        build("rtx", sm=(86,))
    with pytest.raises(EngineError, match="cannot build for sm 87; it knows 75, 80, 86, 89, 120"):
        build("rtx", sm=(87,))


def test_rtx_names_why_an_engine_does_not_run_here_and_does_not_load_it(monkeypatch):
    fake = FakeTensorRT("1.7.1", rtx=True, sm=89).install(monkeypatch)
    plan = build("rtx", sm=(86,))
    with pytest.raises(EngineError, match=r"cannot use this engine:\nUNSUPPORTED_CC\n.*--for rtx --force"):
        run(plan, "rtx")
    fake.version = "1.8.0"
    with pytest.raises(EngineError, match="VERSION_MISMATCH\nUNSUPPORTED_CC"):
        run(plan, "rtx")
    assert fake.count("deserialize_cuda_engine") == 0


def test_real_rtx_says_why_it_does_not_load(monkeypatch):
    """On a machine without a GPU, or with bytes that are no engine."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is x86-64 only")
    with pytest.raises(EngineError, match=r"TensorRT for RTX 1\..* cannot"):
        run(b"no engine" * 100, "rtx")


def test_engine_runs_where_its_shapes_and_addresses_are_known(monkeypatch):
    """The stand-in itself: it is as strict as TensorRT about what is missing."""
    ran = []
    fake = FakeTensorRT(execute=lambda *what: ran.append(what)).install(monkeypatch)
    context = run(build())
    assert context.infer_shapes() == ["z"]
    assert not context.set_input_shape("z", (5, 4)) and context.set_input_shape("z", (3, 4))
    assert not context.execute_async_v3(9)
    for name, address in (("z", 256), ("generated", 512)):
        assert context.set_tensor_address(name, address)
    assert context.execute_async_v3(9)
    addresses, shapes = {"z": 256, "generated": 512}, {"z": (3, 4), "generated": (3, 4)}
    assert ran == [(tiny_graph(), addresses, shapes, 9)] and fake.count("execute_async_v3") == 2
