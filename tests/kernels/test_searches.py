"""Whole searches through the kernels against the NumPy search, step by step the same decisions."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from edgefill.kernels.solvers import HMC, Momentum
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import (
    CONVERGED,
    REACHED,
    RUNNING,
    Evaluation,
    SearchState,
    Task,
    advance,
)
from edgefill.methods.latent.settings import SearchSettings

SOLVERS = {
    "momentum": SearchSettings("momentum", steps=200, lr=0.02, lr_falls=True),
    "normalised": SearchSettings(Momentum(normalise=True), steps=200, lr=0.005, lr_falls=True),
    "adam": SearchSettings("adam", steps=200, lr=0.05),
    "lbfgs": SearchSettings("lbfgs", steps=200, lr=0.05),
    "hmc": SearchSettings(HMC(leapfrog=9, size=0.05, beta=2.0, anneal=1.2), steps=200),
}


def bowl(z: np.ndarray, task: Task) -> Evaluation:
    """A loss with a curved floor, and its gradient."""
    difference = z - task.target
    loss = (difference**2 + 0.1 * np.cos(3 * z)).sum(axis=1) + task.lam
    return Evaluation(loss, 2 * difference - np.float32(0.3) * np.sin(3 * z), loss - task.lam, task.lam)


def start(settings: SearchSettings, rows: int, z_dim: int) -> SearchState:
    target = np.random.default_rng(5).uniform(-1.2, 1.2, (rows, z_dim)).astype(np.float32)
    one = np.ones(rows, np.float32)
    return SearchState.start(Task(target, *[one] * 6), settings, range(rows), Prior("uniform", z_dim))


def advance_by_kernels(host, state: SearchState, n: int) -> None:
    state.allow(n)
    while state.pending.any():
        found = bowl(state.z, state.task)
        host.step(state, Evaluation(*map(np.ascontiguousarray, found)), block=64, order=state.step)


def searched(host, settings: SearchSettings, n: int = 200, rows: int = 3) -> tuple[SearchState, SearchState]:
    kernel = start(settings, rows, 100)
    reference = copy.deepcopy(kernel)
    advance_by_kernels(host, kernel, n)
    advance(reference, n, bowl)
    return kernel, reference


def assert_same(kernel: SearchState, reference: SearchState) -> None:
    settings = kernel.settings
    exact = settings.solver.name in ("momentum", "adam") and not getattr(
        settings.solver, "normalise", False
    )  # without a sum over z
    rounded = kernel.own if settings.solver.name == "lbfgs" else ()  # what it remembers, at the bowl's floor
    for name in kernel.arrays.keys() - {"loss", *rounded}:
        one, other = kernel.arrays[name], reference.arrays[name]
        if exact or one.dtype == np.int32:
            np.testing.assert_array_equal(one, other, err_msg=name)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_hundred_steps_end_where_the_reference_ends(host, solver):
    kernel, reference = searched(host, SOLVERS[solver])
    assert_same(kernel, reference)
    assert kernel.ended and (kernel.steps == 200).all() and (kernel.best_loss < 25).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_search_that_comes_back_goes_on_from_where_it_was(host, solver):
    kernel, reference = searched(host, SOLVERS[solver], n=37)
    assert (kernel.steps == 37).all()
    advance_by_kernels(host, kernel, 20)
    advance(reference, 20, bowl)
    assert_same(kernel, reference)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_stop_at_their_goal_on_a_plateau_or_at_their_limit_when_the_reference_does(host, solver):
    losses = searched(host, SOLVERS[solver])[1].best_loss
    goal = float(np.sort(losses)[1] + 0.5)  # two of three rows get there
    settings = replace(SOLVERS[solver], goal=goal, patience=25, tolerance=0.1)
    kernel, reference = searched(host, settings)
    assert_same(kernel, reference)
    assert {REACHED, CONVERGED} == set(kernel.status.tolist()) and len(set(kernel.steps.tolist())) > 1


def test_no_patience_is_no_plateau_and_no_goal_no_end(host):
    settings = replace(SOLVERS["adam"], patience=0, tolerance=0.5, goal=None)
    kernel, reference = searched(host, settings)
    assert_same(kernel, reference)
    assert kernel.status.tolist() == [RUNNING] * 3
