"""OpenVINO on the CPU against ONNX Runtime, on models of both methods."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from edgefill.completion import SearchSettings, load
from edgefill.errors import ModelError
from edgefill.methods.feed_forward.network import draw
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.model.bundle import Bundle
from edgefill.runtimes import Interrupted
from edgefill.runtimes.onnx_runtime import OnnxRuntime
from edgefill.runtimes.openvino import OpenVino
from tests.bundles import tiny_bundle, tiny_joined, tiny_one_pass
from tests.runtimes.test_onnx_runtime import tasks


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Bundle:
    path = tmp_path_factory.mktemp("model") / "tiny.edgefill"
    path.write_bytes(tiny_bundle(3, encoder=True))
    return Bundle.open(path)


@pytest.fixture(scope="module")
def one_pass(tmp_path_factory) -> Bundle:
    path = tmp_path_factory.mktemp("model") / "pass.edgefill"
    path.write_bytes(tiny_one_pass(3))
    return Bundle.open(path)


def pictures(rows: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height)
    picture = rng.uniform(-1, 1, (rows, 3, height, width)).astype(np.float32)
    return picture, (rng.random((rows, 1, height, width)) < 0.6).astype(np.float32)


@pytest.mark.parametrize("size", [(64, 64), (16, 100), (4, 4), (300, 60)])
def test_a_network_of_any_size_draws_what_it_draws_in_onnx_runtime(size, one_pass):
    there, here = OpenVino(one_pass, threads=1), OnnxRuntime(one_pass, threads=1)
    found, expected = (draw(each, one_pass.manifest, *pictures(2, *size)) for each in (there, here))
    np.testing.assert_allclose(found, expected, atol=1e-5)


DROPPED_ELSEWHERE = """
import gc, signal, sys, threading
from edgefill.model.bundle import Bundle
from edgefill.runtimes.openvino import OpenVino
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell in the background ignores it.
kept = [OpenVino(Bundle.open(sys.argv[1]), threads=1)]
kept[0].open_graph("completion")
other = threading.Thread(target=lambda: (kept.clear(), gc.collect()))
other.start()
other.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_heard_after_another_thread_has_dropped_it(one_pass):
    command = [sys.executable, "-c", DROPPED_ELSEWHERE, one_pass.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@pytest.mark.parametrize("library", [OnnxRuntime, OpenVino])
def test_a_run_that_is_interrupted_ends_and_the_next_one_is_whole(library, one_pass):
    runtime, picture = library(one_pass, threads=1), pictures(8, 512, 512)
    few = pictures(1, 40, 40)
    before, over = draw(runtime, one_pass.manifest, *few), threading.Event()

    def interrupt():
        while not over.wait(0.001):
            runtime.interrupt()

    other = threading.Thread(target=interrupt)
    other.start()
    try:
        with pytest.raises(Interrupted):
            draw(runtime, one_pass.manifest, *picture)
    finally:
        over.set()
        other.join()
    np.testing.assert_array_equal(draw(runtime, one_pass.manifest, *few), before)


def test_sizes_may_come_in_any_order(one_pass):
    runtime = OpenVino(one_pass, threads=1)
    first, *_ = (draw(runtime, one_pass.manifest, *pictures(1, side, side)) for side in (40, 64, 24))
    again = draw(runtime, one_pass.manifest, *pictures(1, 40, 40))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_a_row_does_not_depend_on_its_batch(rows, searched, one_pass):
    runtime, every = OpenVino(searched, threads=2), tasks(searched, 16)
    z = np.random.default_rng(1).uniform(-1, 1, (16, 4)).astype(np.float32)
    few = type(every)(*(part[:rows] for part in every))
    for alone, together in zip(evaluate(runtime, z[:rows], few), evaluate(runtime, z, every), strict=True):
        np.testing.assert_array_equal(alone, together[:rows])
    np.testing.assert_array_equal(generate(runtime, z[:rows]), generate(runtime, z)[:rows])
    network, (picture, known) = OpenVino(one_pass, threads=2), pictures(8, 32, 32)
    together = draw(network, one_pass.manifest, picture, known)
    alone = draw(network, one_pass.manifest, picture[:rows], known[:rows])
    np.testing.assert_array_equal(alone, together[:rows])


@pytest.mark.parametrize("batch", [None, 3])
def test_a_network_of_one_size_takes_any_number_of_rows(batch, tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_joined(batch))
    bundle = Bundle.open(tmp_path / "tiny.edgefill")
    picture, known = pictures(5, 16, 24)
    for runtime in (OpenVino(bundle, threads=1), OnnxRuntime(bundle, threads=1)):
        together = draw(runtime, bundle.manifest, picture, known)
        alone = [
            draw(runtime, bundle.manifest, picture[row : row + 1], known[row : row + 1]) for row in range(5)
        ]
        np.testing.assert_array_equal(together, np.concatenate(alone))
        assert together.shape == picture.shape and together.std() > 0.1


@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_loss_and_gradient_are_those_of_onnx_runtime(lam, searched):
    task = tasks(searched, 3)
    task = task._replace(lam=np.full(3, lam, np.float32))
    z = np.random.default_rng(1).uniform(-1, 1, (3, 4)).astype(np.float32)
    found, expected = (evaluate(each(searched, threads=1), z, task) for each in (OpenVino, OnnxRuntime))
    for name, value in expected._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_a_search_ends_where_it_ends_in_onnx_runtime(lam, searched):
    """Without D it moves more than z."""
    random = np.random.default_rng(0)
    given = random.integers(0, 256, (3, 8, 8, 3), np.uint8)
    known = random.random((3, 8, 8)) < 0.6
    settings = SearchSettings("lbfgs", steps=10, start="encoder", lam=lam)
    filled = []
    for name in ("openvino", "cpu"):
        with load(searched.path, name, threads=1) as completer:
            filled.append(completer.fill(given, known, settings=settings).astype(int))
            assert completer.backend.footprint().plan_bytes > 0 and completer.backend.features == 64
    assert np.abs(filled[0] - filled[1]).max() <= 2
    np.testing.assert_array_equal(filled[0][known], given[known])


def test_it_says_what_it_runs_on(one_pass):
    info = OpenVino(one_pass, threads=2).info
    assert str(info).startswith("openvino (OpenVINO 20") and info.device == "CPU, 2 threads"


@pytest.mark.parametrize(("precision", "hint"), [(None, "f32"), ("fp32", "f32"), ("fp16", "f16")])
def test_it_computes_in_fp32_unless_it_is_told(precision, hint, one_pass):
    runtime = OpenVino(one_pass, precision=precision, threads=3)
    assert runtime.settings["INFERENCE_PRECISION_HINT"] == hint
    assert runtime.settings["INFERENCE_NUM_THREADS"] == 3


def test_a_graph_that_openvino_refuses_is_a_model_error(one_pass):
    class Broken:
        manifest, path = one_pass.manifest, one_pass.path

        def graph(self, name, precision=None):
            return b"no graph"

    with pytest.raises(ModelError, match=r"OpenVINO cannot run completion.onnx of .*use --backend cpu"):
        draw(OpenVino(Broken(), threads=1), one_pass.manifest, *pictures(1, 8, 8))
