"""One launch against one step of the NumPy search, for every solver; bit-equal where no sum is in between."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from edgefill.kernels.solvers import HMC, Momentum
from edgefill.kernels.solvers.lbfgs import Pairs
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import (
    CONVERGED,
    FAILED,
    REACHED,
    Evaluation,
    SearchState,
    Task,
    take_step,
)
from edgefill.methods.latent.settings import SearchSettings

SOLVERS = {
    "momentum": SearchSettings("momentum", steps=30, lr=0.01, lr_falls=True),
    "normalised": SearchSettings(Momentum(normalise=True), steps=30, lr=0.5),
    "adam": SearchSettings("adam", steps=30, lr=0.05, lr_falls=True),
    "lbfgs": SearchSettings("lbfgs", steps=30, lr=0.1),
    "hmc": SearchSettings(HMC(leapfrog=4, size=0.1, beta=0.5, anneal=1.5), steps=30),
}
SUMS = {
    "normalised": {"z", "velocity"},
    "lbfgs": {"z", "curvatures"},
    "hmc": {"energy"},
}  # what a sum over z goes into
VECTORS = ("velocity", "first_moment", "second_moment", "z_before", "gradient_before", "momentum", "origin")
SIZES = (1, 31, 32, 33, 100, 1023, 1024, 1025)
LARGE = {"lbfgs": 100_000}  # whose sums are those of the others, and which takes ten times as long
CASES = [(solver, z_dim) for solver in SOLVERS for z_dim in (*SIZES, LARGE.get(solver, 1_000_000))]
BLOCKS = (32, 128, 512, 1024)


def searching(settings: SearchSettings, z_dim: int, rows: int = 3, seed: int = 0) -> SearchState:
    """A state in the middle of a search; row i has taken i steps."""
    rng = np.random.default_rng(seed)
    one = np.ones(rows, np.float32)
    task = Task(*[one] * len(Task._fields))
    state = SearchState.start(task, settings, range(rows), Prior("uniform", z_dim))
    for name in [name for name in VECTORS if name in state.own]:
        state.own[name] = rng.standard_normal((rows, z_dim), np.float32)
    if "second_moment" in state.own:
        state.own["second_moment"] = np.abs(state.own["second_moment"])
    state.best_z = rng.standard_normal((rows, z_dim), np.float32)
    state.best_loss, state.best_contextual, state.best_perceptual, state.mark = rng.uniform(
        1, 3, (4, rows)
    ).astype(np.float32)
    state.steps = np.arange(rows, dtype=np.int32)
    state.limit = np.full(rows, settings.steps, np.int32)
    if "energy" in state.own:
        state.own["energy"] = rng.uniform(0, z_dim, rows).astype(np.float32)
    if settings.solver.name == "lbfgs":
        _remember(state, rng)
    return state


def _remember(state: SearchState, rng: np.random.Generator) -> None:
    """Row i has seen 3 i pairs of a loss that curves up everywhere."""
    stiff = rng.uniform(0.5, 2, (1, 1, state.z.shape[1])).astype(np.float32)
    moves = 0.1 * rng.standard_normal(state.own["moves"].shape, np.float32)
    pairs = Pairs(
        moves, stiff * moves, (moves * (stiff * moves)).sum(2), 3 * np.arange(len(moves), dtype=np.int32)
    )
    for row, count in enumerate(pairs.pairs):
        for array in pairs[:3]:
            array[row, count:] = 0
    state.own.update(pairs._asdict())
    state.own["z_before"] = state.z + 0.1 * rng.standard_normal(state.z.shape, np.float32)


def found_at(state: SearchState, seed: int = 1) -> Evaluation:
    rng = np.random.default_rng(seed)
    loss, contextual, perceptual = rng.uniform(1, 3, (3, len(state.z))).astype(np.float32)
    gradient = rng.standard_normal(state.z.shape, np.float32)
    if state.settings.solver.name == "lbfgs":
        curves = np.where(np.arange(len(state.z)) % 2, 1.5, -1.5).astype(np.float32)
        state.own["gradient_before"] = gradient - curves[:, None] * (state.z - state.own["z_before"])
    return Evaluation(loss, gradient, contextual, perceptual)


def both(host, state: SearchState, found: Evaluation, **launch) -> tuple[SearchState, SearchState]:
    """What the kernel and what the reference make of ``state``."""
    kernel, reference = copy.deepcopy(state), copy.deepcopy(state)
    host.step(kernel, found, **launch)
    with np.errstate(over="ignore", under="ignore"):
        take_step(reference, found)
    return kernel, reference


def assert_same(kernel: SearchState, reference: SearchState, inexact: set[str] = frozenset()) -> None:
    for name in kernel.arrays.keys() - {"loss"}:  # which is no kernel's
        one, other = kernel.arrays[name], reference.arrays[name]
        if name in inexact:
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize(("solver", "z_dim"), CASES)
def test_a_launch_is_a_step_of_the_reference(host, solver, z_dim):
    state = searching(SOLVERS[solver], z_dim, rows=6 if z_dim < 2000 else 2)
    found = found_at(state)
    results = [both(host, state, found, block=block, order=block) for block in BLOCKS]
    for kernel, reference in results:
        assert_same(kernel, reference, SUMS.get(solver, set()))
        assert (kernel.z != state.z).any() and (kernel.steps == state.steps + 1).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_order_of_the_threads_between_two_barriers_does_not_matter(host, solver):
    state = searching(SOLVERS[solver], 100, rows=6)
    found = found_at(state)
    first, _ = both(host, state, found)
    for order in range(1, 12):
        assert_same(both(host, state, found, order=order)[0], first)


def test_a_trajectory_of_hmc_starts_walks_and_ends_as_in_the_reference(host):
    state = searching(SOLVERS["hmc"], 100, rows=4)
    state.steps[:] = [5, 7, 9, 9]  # the second trajectory's start, middle, end, end
    state.own["energy"][2:] = [1e6, -1e6]
    kernel, reference = both(host, state, found_at(state), order=1)
    assert_same(kernel, reference, {"energy"})
    np.testing.assert_array_equal(kernel.own["origin"][0], state.z[0])
    assert ((kernel.own["energy"] != state.own["energy"])[:2] == [True, False]).all()
    np.testing.assert_array_equal(kernel.z[2], state.z[2])
    np.testing.assert_array_equal(kernel.z[3], state.own["origin"][3])


def test_lbfgs_remembers_the_pairs_that_show_curvature_and_no_others(host):
    state = searching(SOLVERS["lbfgs"], 100, rows=6)
    kernel, _ = both(host, state, found_at(state))
    assert (kernel.own["pairs"] - state.own["pairs"]).tolist() == [0, 1, 0, 1, 0, 1]
    changed = (kernel.own["moves"] != state.own["moves"]).any(axis=2)
    slots = [[]] + [[3 * row % 5] if row % 2 else [] for row in range(1, 6)]
    assert [np.flatnonzero(row).tolist() for row in changed] == slots


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_that_do_not_search_are_untouched_to_the_bit(host, solver):
    state = searching(SOLVERS[solver], 100, rows=7)
    state.status[:] = [FAILED, 0, REACHED, 0, CONVERGED, 0, 0]
    state.limit[3], state.limit[6] = state.steps[3], state.steps[6] - 2
    still, going = [0, 2, 3, 4, 6], [1, 5]
    for name in ("z", *[name for name in state.own if name in VECTORS]):
        state.arrays[name][still] = np.nan
    found = found_at(state)
    found.loss[still] = np.nan
    kernel, reference = both(host, state, found)
    assert_same(kernel, reference, SUMS.get(solver, set()))
    for name in kernel.arrays.keys() - {"loss"}:
        assert kernel.arrays[name][still].tobytes() == state.arrays[name][still].tobytes(), name
    assert (kernel.steps[going] == state.steps[going] + 1).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_row_whose_loss_or_gradient_is_not_finite_fails_and_keeps_its_z(host, solver, broken):
    state = searching(SOLVERS[solver], 300, rows=6)
    found = found_at(state)
    found.loss[1] = broken
    for row, place in ((2, 0), (3, 131), (5, 299)):
        found.gradient[row, place] = broken
    kernel, reference = both(host, state, found, order=5)
    assert_same(kernel, reference, SUMS.get(solver, set()))
    assert kernel.status.tolist() == [0, FAILED, FAILED, FAILED, 0, FAILED]
    failed = kernel.status == FAILED
    for name in ("z", "best_z", "best_loss", "mark", *state.own):
        np.testing.assert_array_equal(kernel.arrays[name][failed], state.arrays[name][failed])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [0, 1e-45, 1e-41, 1e-30, 1e18, 1e30])
def test_gradients_of_any_scale_do_what_they_do_in_the_reference(host, solver, scale):
    state = searching(SOLVERS[solver], 100)
    found = found_at(state)
    found = found._replace(gradient=(found.gradient.astype(np.float64) * scale).astype(np.float32))
    with np.errstate(over="ignore"):
        kernel, reference = both(host, state, found)
    assert_same(kernel, reference, SUMS.get(solver, set()))


@pytest.mark.parametrize("solver", SOLVERS)
def test_numbers_that_have_run_away_stay_what_they_are_in_the_reference(host, solver):
    state = searching(SOLVERS[solver], 6)
    next(iter(state.own.values()))[:] = [np.inf, -np.inf, np.nan, 1e38, 1e-42, 0]
    with np.errstate(invalid="ignore", over="ignore"):
        kernel, reference = both(host, state, found_at(state))
    assert_same(kernel, reference, SUMS.get(solver, set()))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("step", [1, 1_000_000])
def test_the_first_step_and_the_millionth(host, solver, step):
    settings = replace(SOLVERS[solver], steps=1_000_000)
    if solver == "hmc":
        settings = settings.changed(leapfrog=999_999)
    state = searching(settings, 100)
    state.steps[:] = step - 1
    kernel, reference = both(host, state, found_at(state))
    assert_same(kernel, reference, SUMS.get(solver, set()))
    assert (kernel.steps == step).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_bound_of_the_prior_holds(host, solver):
    state = searching(SOLVERS[solver], 100)
    state.bound = 3.0
    next(iter(state.own.values()))[:] *= 100
    kernel, reference = both(host, state, found_at(state))
    assert_same(kernel, reference, SUMS.get(solver, set()))
    assert np.abs(kernel.z).max() == 3 or solver in ("adam", "lbfgs", "hmc")
