from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.kernels.solvers import HMC, Momentum
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import (
    CONVERGED,
    FAILED,
    REACHED,
    RUNNING,
    Evaluation,
    SearchState,
    Task,
    advance,
)
from edgefill.methods.latent.settings import PRESETS, SearchSettings
from edgefill.pictures.evidence import Evidence

PRIOR = Prior("uniform", 4)
SETTINGS = {
    "adam": SearchSettings("adam", steps=40, lr=0.05),
    "momentum": SearchSettings(Momentum(normalise=True), steps=40, lr=0.05, lr_falls=True),
    "lbfgs": SearchSettings("lbfgs", steps=40, lr=0.1),
    "hmc": SearchSettings(HMC(leapfrog=4, size=0.2, beta=20.0, anneal=1.5), steps=40),
}


def bowl(z: np.ndarray, task: Task) -> Evaluation:
    """loss |z − target|², whose gradient is exact."""
    difference = z - task.target[:, :, 0, 0]
    loss = (difference**2).sum(axis=1)
    return Evaluation(loss, 2 * difference, loss * 1, loss * 0)


def start(settings: SearchSettings, seeds: list[int], targets: np.ndarray | None = None) -> SearchState:
    rows = len(seeds)
    target = np.full((rows, 4), 0.25, np.float32) if targets is None else targets
    one = np.ones(rows, np.float32)
    task = Task(target[:, :, None, None], one, one, one, one, target, 0 * one)
    return SearchState.start(task, settings, seeds, PRIOR)


@pytest.mark.parametrize("solver", SETTINGS)
def test_the_loss_falls_and_the_best_evaluation_is_kept_whole(solver):
    state = start(SETTINGS[solver], [0, 1])
    seen = []

    def watched(z, task):
        seen.append((bowl(z, task).loss, z))
        return bowl(z, task)

    advance(state, 40, watched)
    losses = np.array([loss for loss, _ in seen])
    np.testing.assert_array_equal(state.best_loss, losses.min(axis=0))
    for row, step in enumerate(losses.argmin(axis=0)):
        np.testing.assert_array_equal(state.best_z[row], seen[step][1][row])
    assert (state.best_loss < 0.25 * losses[0]).all()
    assert state.step == len(seen) == 40


@pytest.mark.parametrize("solver", SETTINGS)
def test_a_row_does_not_depend_on_its_batch_nor_on_how_often_the_search_comes_back(solver):
    together = start(SETTINGS[solver], [3, 5, 7])
    advance(together, 40, bowl)
    for row, seed in enumerate([3, 5, 7]):
        alone = start(SETTINGS[solver], [seed])
        for taken in (1, 9, 30):
            advance(alone, taken, bowl)
        np.testing.assert_array_equal(alone.best_z[0], together.best_z[row])
        np.testing.assert_array_equal(alone.z[0], together.z[row])


@pytest.mark.parametrize("solver", SETTINGS)
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_row_that_is_not_finite_stops_and_leaves_the_others_alone(solver, broken):
    calls = []

    def breaks_at_six(z, task):
        calls.append(z)
        found = bowl(z, task)
        if len(calls) >= 6:
            getattr(found, broken)[1] = np.nan
        return found

    state, healthy = start(SETTINGS[solver], [0, 1, 2]), start(SETTINGS[solver], [0, 1, 2])
    advance(state, 40, breaks_at_six)
    advance(healthy, 40, bowl)
    assert state.status.tolist() == [RUNNING, FAILED, RUNNING] and state.steps.tolist() == [40, 6, 40]
    np.testing.assert_array_equal(calls[-1][1], calls[5][1])
    np.testing.assert_array_equal(state.best_z[[0, 2]], healthy.best_z[[0, 2]])


def test_adam_does_what_the_reference_implementation_does():
    state = start(replace(PRESETS["reference"], steps=50), [0])
    z = state.z.astype(np.float64)
    m = v = np.zeros_like(z)
    for i in range(50):
        gradient = 2 * (z - 0.25)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        z = np.clip(
            z - 0.01 * (m / (1 - 0.9 ** (i + 1))) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8), -1, 1
        )
    advance(state, 50, bowl)
    np.testing.assert_allclose(state.z, z, atol=1e-5)


def test_hmc_does_what_the_reference_implementation_does():
    settings = SETTINGS["hmc"]
    state = start(settings, [4])
    z, beta = state.z.astype(np.float64), settings.solver.beta
    decisions = []
    for trajectory in range(8):
        old_z, old_loss, gradient = z, ((z - 0.25) ** 2).sum(), 2 * (z - 0.25)
        p = old_p = state.drawn["noise"][trajectory].astype(np.float64)
        for _ in range(4):
            p = p - 0.2 / 2 * beta * gradient
            z = np.clip(z + 0.2 * p, -1, 1)
            gradient = 2 * (z - 0.25)
            p = p - 0.2 / 2 * beta * gradient
        change = beta * (old_loss - ((z - 0.25) ** 2).sum()) + ((old_p**2).sum() - (p**2).sum()) / 2
        decisions.append(change >= 0 or state.drawn["uniform"][trajectory, 0] <= np.exp(change))
        z = z if decisions[-1] else old_z
        beta *= settings.solver.anneal
    advance(state, 40, bowl)
    np.testing.assert_allclose(state.z, z, atol=1e-4)
    assert True in decisions and False in decisions, "the test should see both outcomes"


def test_the_latents_of_a_seed_are_those_of_the_prior():
    assert np.array_equal(start(SETTINGS["adam"], [9]).z, PRIOR.latents([9]))
    normal = Prior("normal", 100_000).latents([0])
    assert normal.std() == pytest.approx(1, abs=0.02) and np.abs(normal).max() == 3
    uniform = Prior("uniform", 100_000).latents([0])
    assert uniform.std() == pytest.approx(1 / np.sqrt(3), abs=0.01) and np.abs(uniform).max() <= 1


def test_a_row_at_its_goal_stands_still_while_the_others_search_on():
    together = start(replace(SETTINGS["adam"], goal=0.05), [0, 1, 2])
    seen = []

    def watched(z, task):
        seen.append((bowl(z, task).loss, z))
        return bowl(z, task)

    advance(together, 40, watched)
    assert together.status.tolist() == [REACHED] * 3 and len(set(together.steps.tolist())) > 1
    assert len(seen) == together.step < 40, "the search ends with its last row"
    for row, steps in enumerate(together.steps):
        losses = [loss[row] for loss, _ in seen[:steps]]
        assert losses[-1] <= 0.05 < min(losses[:-1])
        assert together.best_loss[row] == losses[-1] and together.ended
        np.testing.assert_array_equal(together.best_z[row], seen[steps - 1][1][row])


def test_a_plateau_is_a_loss_that_has_not_fallen_by_the_tolerance_within_the_patience():
    losses = iter([100, 90, 89.5, 89, 88.5, 80, 79.9, 79.8, 79.7, 79.6])

    def falls(z, task):
        return bowl(z, task)._replace(loss=np.array([next(losses)], np.float32))

    state = start(replace(SETTINGS["adam"], patience=4, tolerance=0.02), [0])
    advance(state, 40, falls)
    assert state.status.tolist() == [CONVERGED] and state.steps.tolist() == [10]
    assert state.mark.tolist() == [80] and state.marked_at.tolist() == [6]
    assert state.best_loss.tolist() == [np.float32(79.6)], "what is better by less is still kept"


@pytest.mark.parametrize("solver", SETTINGS)
def test_no_row_goes_beyond_the_steps_of_the_settings(solver):
    state = start(SETTINGS[solver], [0, 1])
    advance(state, 1000, bowl)
    assert state.steps.tolist() == [40, 40] and state.ended
    z = state.z
    advance(state, 1, bowl)
    np.testing.assert_array_equal(state.z, z)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_encoder_s_z_pulls_the_more_the_farther_what_is_missing_lies(channels):
    weight = np.ones((3, 1, 8, 8), np.float32)
    weight[0, 0, 3, 3] = 0  # one step away
    weight[1, 0, :, 3:5] = 0  # one step too, all of it
    weight[2, 0, :, :4] = 0  # 1, 2, 3 and 4 steps
    evidence = Evidence(np.zeros((3, channels, 8, 8), np.float32), weight, np.zeros((3, 1, 1, 1), np.float32))
    anchor = np.zeros((3, 4), np.float32)
    settings = SearchSettings(pull=2.0, start="encoder")
    np.testing.assert_allclose(
        Task.of(evidence, settings, anchor).pull, channels * 2 * np.array([1, 1, 2.5**4])
    )
    random = Task.of(evidence, replace(settings, start="random"), anchor)
    np.testing.assert_array_equal(random.pull, 2)
