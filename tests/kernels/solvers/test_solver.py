"""A solver of this file's own, from its settings to its kernel: nothing else knows it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from edgefill.errors import InputError
from edgefill.kernels.device import open_device
from edgefill.kernels.launcher import Kernels
from edgefill.kernels.names import in_words, shipped_solvers
from edgefill.kernels.solvers import SHIPPED, SOLVERS
from edgefill.kernels.solvers.solver import Array, Sight, Solver, Suited, Update, project, setting
from edgefill.limits import Limits
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import SearchState, Task, take_step
from edgefill.methods.latent.settings import SearchSettings, search_settings
from edgefill.runtimes.device.runtime import DeviceRuntime
from tests.completion.fakes import fake_model, fake_runtime
from tests.kernels.host import HostKernels
from tests.kernels.test_searches import advance_by_kernels, bowl
from tests.runtimes.device.gpu import FunctionExecutor


@dataclass(frozen=True)
class Descent(Solver):
    """z' = clip(z − η sᵗ g, ±bound), and how far each row has come."""

    name: ClassVar = "descent"
    own: ClassVar = (Array("way", (), note="sum of |z' − z|²"), Array("last", ("kept", "z")))

    shrink: float = setting(0.9, Limits(0, 1), "what a step is shorter than the one before, s")
    kept: int = setting(2, Limits(1, 4), "places that are remembered")

    @classmethod
    def suited(cls, start: str) -> Suited:
        return Suited(cls(shrink=0.95), {"lr": 0.2})

    def rates(self, t: np.ndarray) -> dict[str, np.ndarray]:
        return {"share": self.shrink**t}

    def update(self, sight: Sight) -> Update:
        step = sight.rates["lr"] * sight.rates["share"] * sight.gradient
        z = project(sight.z - step, sight.bound)
        last = np.concatenate([sight.own["last"][:, 1:], sight.z[:, None]], axis=1)
        return Update(z, {"way": sight.own["way"] + ((z - sight.z) ** 2)[:, 0], "last": last})

    @classmethod
    def source(cls) -> str:
        return """
#include "search.cuh"

extern "C" __global__ void descent_step(const Descent own) {
    const Search &search = own.search;
    const Row row = row_of_block(search);
    if (!row.pending) return;
    const DescentRates rates = own.rates[row.step];
    float *z = search.z + row.begin, *last = own.last + row.begin * own.kept;
    const float *gradient = search.gradient + row.begin;

    bool finite = isfinite(row.loss);
    for (int i = threadIdx.x; i < search.z_dim; i += blockDim.x) finite &= isfinite(gradient[i]);
    const Reduced row_wide = reduce(finite, 0);
    const int moving = row_wide.all ? search.z_dim : 0;
    for (int i = threadIdx.x; i < moving; i += blockDim.x) {
        const float here = z[i], step = rates.lr * rates.share * gradient[i];
        if (row.better) search.best_z[row.begin + i] = here;
        z[i] = project(here - step, search.bound);
        for (int at = 1; at < own.kept; at++) last[(at - 1) * search.z_dim + i] = last[at * search.z_dim + i];
        last[(own.kept - 1) * search.z_dim + i] = here;
        if (i == 0) own.way[row.at] += (z[i] - here) * (z[i] - here);
    }
    if (threadIdx.x == 0) close_step(search, row, row_wide.all);
}
"""


@pytest.fixture
def known(monkeypatch) -> type[Descent]:
    """Descent, by its name too."""
    monkeypatch.setitem(SOLVERS, Descent.name, Descent)
    return Descent


def started(settings: SearchSettings, rows: int = 3, z_dim: int = 40) -> SearchState:
    target = np.random.default_rng(5).uniform(-1.2, 1.2, (rows, z_dim)).astype(np.float32)
    one = np.ones(rows, np.float32)
    return SearchState.start(Task(target, *[one] * 6), settings, range(rows), Prior("uniform", z_dim))


def test_its_name_its_numbers_and_what_suits_it_are_those_of_a_search(known):
    settings = search_settings(solver="descent", steps=9, kept=3)
    assert settings.solver == Descent(0.95, 3) and (settings.lr, settings.steps) == (0.2, 9)
    assert settings.document().items() >= {"solver": "descent", "shrink": 0.95, "kept": 3}.items()
    assert in_words(SOLVERS).endswith("or descent")
    with pytest.raises(InputError, match=r"with shrink 2 of descent: expected a number from 0 to 1 \(what a"):
        settings.changed(shrink=2)


def test_a_runtime_of_the_host_searches_with_it():
    model = fake_model()
    runtime, settings = fake_runtime(model), SearchSettings(Descent(1.0), steps=60, lr=0.002, lam=0.0)
    one, task = np.ones(2, np.float32), np.full((2, *model.picture_shape), 0.3, np.float32)
    zero = np.zeros((2, model.z_dim), np.float32)
    task = Task(
        task, np.ones_like(task[:, :1]), np.zeros((2, 1, 1, 1), np.float32), one * 2, one * 0, zero, one * 0
    )
    state = SearchState.start(task, settings, range(2), Prior.of(model))
    runtime.solve(state, 1)
    first = state.best_loss.copy()
    runtime.solve(state, 59)
    assert (state.best_loss < 0.9 * first).all() and (state.own["way"] > 0).all()
    assert state.own["last"].shape == (2, 2, model.z_dim) and state.steps.tolist() == [60, 60]
    part = state.rows(np.array([False, True]))
    whole = SearchState.joined(part, state)
    np.testing.assert_array_equal(whole.own["last"], state.own["last"][[1, 0, 1]])


def test_its_kernel_is_given_its_struct_and_does_what_its_update_does(tmp_path):
    host = HostKernels(tmp_path, [Descent])
    of_numpy = host.structs["Descent"]
    fields = [number for kind, offset in of_numpy.fields.values() for number in (offset, kind.itemsize)]
    assert host.layout("Descent") == [*fields, of_numpy.itemsize]
    kernel = started(SearchSettings(Descent(kept=3), steps=30, lr=0.05))
    reference = copy.deepcopy(kernel)
    advance_by_kernels(host, kernel, 30)
    reference.allow(30)
    while reference.pending.any():
        take_step(reference, bowl(reference.z, reference.task))
    for name in kernel.arrays.keys() - {"loss"}:
        np.testing.assert_array_equal(kernel.arrays[name], reference.arrays[name], err_msg=name)


def test_a_gpu_says_that_no_kernel_of_it_ships(driver):
    model, device = fake_model(), open_device()
    executor = FunctionExecutor(driver, device, model, fake_runtime(model))
    runtime = DeviceRuntime("fake", model, device, executor)
    with (
        device,
        pytest.raises(InputError, match=r"descent on a GPU: .* momentum, adam, lbfgs, hmc; .*--backend cpu"),
    ):
        Kernels(device).check(Descent())
    runtime.close()


def test_those_that_ship_are_known_by_their_files():
    assert shipped_solvers() == sorted(each.name for each in SHIPPED)
