"""TensorRT through fakes of its packages: engines are built, verified, bound and run as they would be.

The plan of a fake is the ONNX graph, which ONNX Runtime runs in the memory of the fake GPU: a completion on
"tensorrt" or "rtx" goes all the way, and has to be that of the CPU.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from edgefill import machine
from edgefill.completion import Completer, SearchSettings, load
from edgefill.errors import EngineError
from edgefill.export.engines.store import Engines
from edgefill.kernels.device import open_device
from edgefill.methods.feed_forward.network import draw
from edgefill.model.bundle import Bundle
from edgefill.runtimes.device.executors import tensor_shapes
from edgefill.runtimes.device.executors.tensorrt import TensorRTExecutor
from tests.bundles import tiny_bundle, tiny_joined, tiny_one_pass
from tests.driver import floats
from tests.fakes.tensorrt import FakeTensorRT

SETTINGS = SearchSettings("adam", steps=24)


@pytest.fixture
def path(tmp_path, driver, monkeypatch):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "free_memory", lambda: 10**9)
    monkeypatch.setattr(machine, "driver", lambda: machine.Driver((machine.Gpu("Fake GPU", (8, 9), 10**9),)))
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle())
    return tmp_path / "tiny.edgefill"


class Machine:
    """A GPU whose engines are run by ONNX Runtime, in the order of the stream."""

    def __init__(self, driver, monkeypatch, *, rtx: bool, version: str = "10.16.1"):
        self.driver = driver
        self.trt = FakeTensorRT(version, rtx=rtx, sm=89, execute=self._execute).install(monkeypatch)
        self.name = "rtx" if rtx else "tensorrt"
        self._sessions: dict[bytes, onnxruntime.InferenceSession] = {}

    def _execute(self, graph, addresses, shapes, stream) -> None:
        assert stream == open_device().stream_handle, "engines run on the search's stream"
        if graph not in self._sessions:
            self._sessions[graph] = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        session = self._sessions[graph]
        views = {name: floats(addresses[name], *shapes[name]) for name in shapes}

        def run() -> None:
            feeds = {value.name: views[value.name].copy() for value in session.get_inputs()}
            names = [value.name for value in session.get_outputs()]
            for name, found in zip(names, session.run(names, feeds), strict=True):
                views[name][...] = found

        self.driver.enqueue(stream, run)


def pictures(rows: int) -> tuple[np.ndarray, np.ndarray]:
    known = np.ones((rows, 8, 8), bool)
    known[:, 2:6, 2:6] = False
    return np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 1), np.uint8), known


def fill(completer: Completer, rows: int) -> np.ndarray:
    return completer.fill(*pictures(rows), settings=SETTINGS, seeds=range(rows))


@pytest.mark.parametrize("rtx", [False, True])
def test_a_completion_there_is_that_of_the_cpu(rtx, path, driver, monkeypatch):
    gpu, said = Machine(driver, monkeypatch, rtx=rtx), []
    with load(path, gpu.name, say=said.append) as completer, load(path, "cpu", threads=1) as here:
        for rows in (1, 3, 5):
            there, expected = fill(completer, rows), fill(here, rows)
            assert np.abs(there.astype(int) - expected).max() <= 1 and (there == expected).mean() > 0.99
    built = [(each.split("building it now")[0] != each) for each in said]
    assert built == [True] * 6, "two graphs, for 1, 4 and 8 rows, and a line for each"
    assert gpu.driver.count("cuGraphLaunch") > 3 and gpu.driver.count("current contexts") == 0
    assert not gpu.driver.count("allocations")


@pytest.mark.parametrize("rtx", [False, True])
def test_a_default_search_there_moves_what_it_moves_on_the_cpu(rtx, path, driver, monkeypatch):
    gpu, said = Machine(driver, monkeypatch, rtx=rtx), []
    path.write_bytes(tiny_bundle(encoder=True))
    with load(path, gpu.name, say=said.append) as completer, load(path, "cpu", threads=1) as here:
        assert completer.backend.features == here.backend.features == 64
        there, expected = (each.fill(*pictures(3), seeds=range(3)) for each in (completer, here))
    assert np.abs(there.astype(int) - expected).max() <= 1 and (there == expected).mean() > 0.99
    built = {path.name.split("-")[0] for path in (path.parent / "cache").rglob("*.engine")}
    assert built == {"wide_fit", "wide_generator", "encoder"} and len(said) == 3 + rtx
    with load(path, gpu.name, say=said.append) as completer:
        alone = completer.fill(*pictures(3), seeds=range(3), settings=SearchSettings(features=False))
    assert (alone != there).any() and len(said) == 5 + rtx, "the fit and the generator of z"


def test_with_the_engines_of_every_graph_a_default_search_builds_none(path, driver, monkeypatch, tmp_path):
    gpu, said = Machine(driver, monkeypatch, rtx=True), []
    path.write_bytes(tiny_bundle(encoder=True))
    bundle, own = Bundle.open(path), tmp_path / "own"
    for graph in bundle.graphs():
        Engines(bundle, gpu.name, folder=own).build(graph, (2, 2, 2))
    built = gpu.trt.count("build_serialized_network")
    for settings in (None, SearchSettings(features=False), SETTINGS):
        with load(path, gpu.name, engines=own, say=said.append) as completer:
            completer.fill(*pictures(2), seeds=range(2), settings=settings)
    assert gpu.trt.count("build_serialized_network") == built == 6 and not said


@pytest.mark.parametrize("rtx", [False, True])
def test_a_completion_in_one_pass_there_is_that_of_the_cpu_at_any_size(rtx, path, driver, monkeypatch):
    gpu, said = Machine(driver, monkeypatch, rtx=rtx), []
    path.write_bytes(tiny_one_pass())
    random = np.random.default_rng(0)
    with load(path, gpu.name, say=said.append) as completer, load(path, "cpu", threads=1) as here:
        for size in ((1, 1), (40, 64), (300, 500), (70, 30), (1000, 700)):
            picture = random.integers(0, 256, size, np.uint8)
            there, expected = (
                np.asarray(each.complete(picture, "center").image) for each in (completer, here)
            )
            assert np.abs(there.astype(int) - expected).max() <= 1 and (there == expected).mean() > 0.99
        assert completer.backend.footprint().plan_bytes
    assert len(said) == 1 and "there is no engine completion" in said[0], "one engine for all sizes"
    assert gpu.driver.count("current contexts") == 0 and not gpu.driver.count("allocations")


@pytest.mark.parametrize("rtx", [False, True])
@pytest.mark.parametrize("batch", [None, 3])
def test_a_network_of_one_size_runs_at_that_size_and_in_its_own_rows(rtx, batch, path, driver, monkeypatch):
    gpu, said = Machine(driver, monkeypatch, rtx=rtx), []
    path.write_bytes(tiny_joined(batch))
    engine = Engines(Bundle.open(path), gpu.name, say=said.append).build("completion", (4, 4, 4))
    assert engine.recipe.batch == ((batch or 4),) * 3
    random = np.random.default_rng(0)
    picture = random.uniform(-1, 1, (5, 3, 16, 24)).astype(np.float32)
    known = (random.random((5, 1, 16, 24)) < 0.6).astype(np.float32)
    with load(path, gpu.name, say=said.append) as completer, load(path, "cpu", threads=1) as here:
        for rows in (1, 4, 5):
            there, expected = (
                draw(each.backend, each.model, picture[:rows], known[:rows]) for each in (completer, here)
            )
            np.testing.assert_allclose(there, expected, atol=1e-6)
    assert not said and gpu.trt.count("build_serialized_network") == 1
    assert gpu.driver.count("current contexts") == 0 and not gpu.driver.count("allocations")


def test_tiles_of_one_size_run_in_as_large_a_batch_as_an_engine_is_there_for(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=True)
    path.write_bytes(tiny_joined())
    tiles = np.ones((5, 3, 16, 24), np.float32), np.ones((5, 1, 16, 24), np.float32)
    runs = []
    for _ in range(2):
        with load(path, gpu.name, say=lambda line: None) as completer:
            before = gpu.trt.count("execute_async_v3")
            draw(completer.backend, completer.model, *tiles)
            runs.append(gpu.trt.count("execute_async_v3") - before)
        Engines(Bundle.open(path), gpu.name).build("completion", (8, 8, 8))
    assert runs == [5, 1], "one by one in the engine that was built for the first, then in that for eight"


def test_one_picture_runs_in_an_engine_for_more(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    path.write_bytes(tiny_one_pass())
    Engines(Bundle.open(path), "tensorrt").build("completion", (4, 4, 4))
    picture = np.random.default_rng(0).integers(0, 256, (40, 64), np.uint8)
    said: list[str] = []
    with load(path, gpu.name, say=said.append) as completer, load(path, "cpu", threads=1) as here:
        there, expected = (np.asarray(each.complete(picture, "center").image) for each in (completer, here))
    assert np.abs(there.astype(int) - expected).max() <= 1 and not said


def test_engines_that_were_built_are_used_again_and_few_rows_run_in_a_larger_one(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    with load(path, gpu.name, say=lambda line: None) as completer:
        fill(completer, 8)
    gpu.trt.calls.clear()
    said: list[str] = []
    with load(path, gpu.name, say=said.append) as completer:
        fill(completer, 2)
        assert completer.backend.footprint().build_seconds == 0 < completer.backend.footprint().plan_bytes
    assert gpu.trt.count("build_serialized_network") == 0 and not said


def test_engines_may_lie_in_a_folder_that_is_named(path, driver, monkeypatch, tmp_path):
    gpu = Machine(driver, monkeypatch, rtx=True)
    Engines(Bundle.open(path), "rtx", folder=tmp_path / "own").build("step", (1, 1, 1))
    said: list[str] = []
    with load(path, "rtx", engines=tmp_path / "own", say=said.append) as completer:
        fill(completer, 1)
    assert gpu.trt.count("build_serialized_network") == 2 and len(said) == 1, "the generator was not there"
    assert len(list((tmp_path / "own").glob("*.engine"))) == 2 and not (tmp_path / "cache").exists()


def executor_on(gpu: Machine, path, batch=None) -> TensorRTExecutor:
    bundle = Bundle.open(path)
    executor = TensorRTExecutor(gpu.name, bundle, open_device(), precision="fp32", say=lambda line: None)
    if batch:
        executor._engines.build("step", batch)
    return executor


def test_a_dynamic_engine_runs_powers_of_two_within_its_range(path, driver, monkeypatch):
    executor = executor_on(Machine(driver, monkeypatch, rtx=True), path, batch=(2, 4, 12))
    assert [executor.capacity("step", rows) for rows in (1, 3, 5, 9, 12)] == [2, 4, 8, 12, 12]
    shapes = tensor_shapes(Bundle.open(path).manifest, "step", 8)
    executor.bind("step", 8, dict.fromkeys(shapes, 256))


@pytest.mark.parametrize(
    ("call", "answer", "message"),
    [
        ("deserialize_cuda_engine", None, "load this engine"),
        ("create_execution_context", None, "make a context of this engine"),
        ("set_tensor_address", False, "put z of step in its place"),
        ("set_input_shape", False, r"run step with z of \[1, 4\]"),
        ("infer_shapes", ["z", "lam"], "these inputs have no shape: z, lam"),
    ],
)
def test_what_tensorrt_refuses_is_said_in_its_words(call, answer, message, path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    executor = executor_on(gpu, path)
    gpu.trt.failing[call] = answer
    shapes = tensor_shapes(Bundle.open(path).manifest, "step", 1)
    with pytest.raises(EngineError, match=rf"(?s)TensorRT 10.16.1 cannot .*{message}.*what TensorRT says"):
        executor.bind("step", executor.capacity("step", 1), dict.fromkeys(shapes, 256))


def test_a_run_that_is_refused_is_an_error_and_leaves_the_context(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    with load(path, gpu.name, graph=False, say=lambda line: None) as completer:
        fill(completer, 1)
        gpu.trt.failing["execute_async_v3"] = False
        with pytest.raises(EngineError, match=r"(?s)cannot run step.*what TensorRT says"):
            fill(completer, 1)
    assert gpu.driver.count("current contexts") == 0


def test_an_engine_that_rtx_calls_uncapturable_runs_step_by_step(path, driver, monkeypatch):
    gpu, said = Machine(driver, monkeypatch, rtx=True), []
    gpu.trt.failing["is_stream_capturable"] = False
    gpu.trt.says = []
    with load(path, gpu.name, say=said.append) as completer:
        fill(completer, 1)
    assert gpu.driver.count("cuStreamBeginCapture") == 0
    assert sum("cannot be captured" in line for line in said) == 1


def test_what_rtx_compiled_is_kept_for_the_next_process(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=True)
    compiled = []
    for _ in range(2):
        with load(path, gpu.name, say=lambda line: None) as completer:
            fill(completer, 1)
        compiled.append(gpu.trt.count("compiles"))
    assert compiled == [2, 2], "the step and the generator, once"


def test_contexts_of_all_engines_share_the_largest_scratch_memory(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=True)
    executor = executor_on(gpu, path, batch=(1, 4, 8))
    manifest, before = Bundle.open(path).manifest, driver.count("bytes")
    with open_device():
        for graph, rows, scratch in (("step", 1, 1 << 20), ("step", 8, 1), ("generator", 8, 1 << 21)):
            gpu.trt.scratch = scratch
            shapes = tensor_shapes(manifest, graph, rows)
            executor.bind(graph, executor.capacity(graph, rows), dict.fromkeys(shapes, 256))
        given = [call[1:] for call in gpu.trt.calls if call[0] == "set_device_memory"]
        assert len(given) == 2 + 2 + 1 and len(set(given[:2])) == len(set(given[2:])) == 1
        assert driver.count("bytes") - before == executor.footprint().device_bytes == 1 << 21
        executor.close()
    assert driver.count("bytes") == before


def test_what_was_captured_before_the_scratch_memory_moved_is_captured_again(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    with load(path, gpu.name, say=lambda line: None) as completer:
        expected, captures = fill(completer, 1), []
        for scratch in (1 << 20, 1 << 21):
            gpu.trt.scratch = scratch
            fill(completer, 3 if scratch == 1 << 20 else 9)
            np.testing.assert_array_equal(fill(completer, 1), expected)
            captures.append(driver.count("cuStreamBeginCapture"))
    assert captures == [2, 4], "of 1 and of 3 rows; of 9, and of 1 again"
    assert driver.count("executables") == 0


def test_no_engine_is_built_in_the_middle_of_a_run(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    with load(path, gpu.name, say=lambda line: None) as completer:
        fill(completer, 16)
        built = gpu.trt.count("build_serialized_network")
        fill(completer, 1)
        assert gpu.trt.count("build_serialized_network") == built == 2, "the step and the generator, for 16"


def test_shapes_that_cannot_be_inferred_are_an_error_of_ours(path, driver, monkeypatch):
    gpu = Machine(driver, monkeypatch, rtx=False)
    executor = executor_on(gpu, path)

    def fails(context) -> list[str]:
        raise RuntimeError("an internal error")

    monkeypatch.setattr("tests.fakes.tensorrt_runtime._Context.infer_shapes", fails)
    shapes = tensor_shapes(Bundle.open(path).manifest, "step", 1)
    with pytest.raises(EngineError, match=r"cannot run step at batch 1"), open_device():
        executor.bind("step", executor.capacity("step", 1), dict.fromkeys(shapes, 256))
