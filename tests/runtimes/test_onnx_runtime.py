from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from edgefill.errors import ModelError
from edgefill.extras import install_line
from edgefill.kernels.solvers import HMC
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import SearchState, Task
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.bundle import Bundle
from edgefill.runtimes import open_backend
from edgefill.runtimes.onnx_runtime import OnnxRuntime
from tests.bundles import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    path = tmp_path_factory.mktemp("model") / "tiny.edgefill"
    path.write_bytes(tiny_bundle(3))
    return Bundle.open(path)


def tasks(bundle: Bundle, rows: int) -> Task:
    rng, model = np.random.default_rng(0), bundle.manifest
    arrays = (
        rng.uniform(-1, 1, (rows, *model.picture_shape)),
        rng.random((rows, 1, model.height, model.width)) < 0.6,
        np.zeros((rows, 1, *(side // model.searched.block for side in (model.height, model.width)))),
        np.ones(rows),
        np.full(rows, 0.1),
        np.zeros((rows, model.z_dim)),
        np.zeros(rows),
    )
    return Task(*(array.astype(np.float32) for array in arrays))


def search(bundle: Bundle, task: Task, *, threads: int = 1, solver: str = "adam") -> SearchState:
    seeds, prior = list(range(len(task.lam))), Prior.of(bundle.manifest)
    state = SearchState.start(
        task, SearchSettings(HMC(leapfrog=5) if solver == "hmc" else solver, steps=25), seeds, prior
    )
    runtime = OnnxRuntime(bundle, threads=threads)
    runtime.solve(state, 25)
    runtime.close()
    return state


def test_the_search_lowers_the_loss_of_the_model(bundle):
    task = tasks(bundle, 4)
    runtime = open_backend("cpu", bundle, threads=1)
    state = search(bundle, task)
    before = evaluate(runtime, Prior.of(bundle.manifest).latents(range(4)), task)
    assert (state.best_loss < 0.95 * before.loss).all()
    np.testing.assert_allclose(
        state.best_loss, state.best_contextual + 0.1 * state.best_perceptual, rtol=1e-5
    )


@pytest.mark.parametrize("solver", ["adam", "momentum", "hmc"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_a_row_does_not_depend_on_its_batch(bundle, rows, solver):
    every = tasks(bundle, 16)
    few = Task(*(array[:rows] for array in every))
    alone, together = search(bundle, few, solver=solver), search(bundle, every, solver=solver)
    np.testing.assert_array_equal(alone.z, together.z[:rows])
    np.testing.assert_array_equal(alone.best_z, together.best_z[:rows])
    # ONNX Runtime takes softplus of the last few of a batch one by one, and rounds it otherwise.
    np.testing.assert_allclose(alone.best_loss, together.best_loss[:rows], rtol=1e-6)


def test_the_number_of_threads_changes_nothing(bundle):
    task = tasks(bundle, 5)
    np.testing.assert_array_equal(search(bundle, task).best_z, search(bundle, task, threads=2).best_z)


def test_it_says_what_it_runs_on(bundle):
    assert str(open_backend("auto", bundle, threads=2).info).startswith("cpu (ONNX Runtime 1.")
    assert OnnxRuntime(bundle, threads=1).info.device == "CPU, 1 thread"


def test_a_graph_that_onnx_runtime_refuses_is_a_model_error(bundle):
    class Broken:
        manifest, path = bundle.manifest, bundle.path

        def graph(self, name):
            return bundle.graph(name)[:-2000] + bytes(2000)

    with pytest.raises(ModelError, match=r"cannot run generator.onnx of .*export the model again"):
        generate(OnnxRuntime(Broken(), threads=1), np.zeros((1, 4), np.float32))


def test_without_onnx_runtime_the_line_that_installs_it_is_said(bundle):
    program = f"""
        import sys
        sys.modules["onnxruntime"] = sys.modules["openvino"] = None
        import edgefill
        try:
            edgefill.load({str(bundle.path)!r})
        except edgefill.BackendUnavailable as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert install_line("cpu") in done.stdout
