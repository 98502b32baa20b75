"""The solvers' updates against others: PyTorch's Adam, a loop over numbers, the laws of mechanics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgefill.kernels.solvers import Adam, Momentum, Solver
from edgefill.kernels.solvers.hmc import accepts, drift, energy_of, half_kick
from edgefill.kernels.solvers.lbfgs import Pairs, direction_of, remember
from edgefill.kernels.solvers.lbfgs import step as lbfgs_step
from edgefill.kernels.solvers.solver import Sight, Update


def updated(solver: Solver, z: np.ndarray, gradient: np.ndarray, *own: np.ndarray, lr=0.01, step=1) -> Update:
    """Step number ``step`` with the solver's arrays ``own``, in their order."""
    rates = np.zeros((len(z), 1), solver.rate_struct().dtype)
    rates["lr"] = lr
    for name, values in solver.rates(np.array([step], np.float64)).items():
        rates[name] = values
    steps, there = (
        np.full(len(z), step, np.int32),
        dict(zip((each.name for each in solver.own), own, strict=True)),
    )
    return solver.update(Sight(z, z[:, 0], gradient, steps, rates, there, {}, 1.0))


def random_rows(rows: int, z_dim: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (rows, z_dim)).astype(np.float32)


def test_momentum_is_the_article_s_formula_in_nesterov_form():
    z, velocity, gradient = random_rows(3, seed=1), random_rows(3, seed=2), random_rows(3, seed=3)
    after, own = updated(Momentum(), z, gradient, velocity)
    following = own["velocity"]
    for row, column in np.ndindex(z.shape):
        v = 0.9 * float(velocity[row, column]) - 0.01 * float(gradient[row, column])
        expected = float(z[row, column]) - 0.9 * float(velocity[row, column]) + 1.9 * v
        assert following[row, column] == pytest.approx(v, abs=1e-7)
        assert after[row, column] == pytest.approx(np.clip(expected, -1, 1), abs=1e-6)


def test_momentum_equals_torch_s_nesterov_sgd_over_many_steps():
    # SGD keeps the point it looks ahead from; at every step both evaluate the gradient at the same place.
    z = random_rows(1)
    parameter = torch.nn.Parameter(torch.tensor(z))
    optimiser = torch.optim.SGD([parameter], lr=0.01, momentum=0.9, nesterov=True)
    velocity = np.zeros_like(z)
    for _ in range(20):
        parameter.grad = parameter.detach().clone()  # of |z|² / 2
        optimiser.step()
        z, own = updated(Momentum(), z, z, velocity)
        velocity = own["velocity"]
        np.testing.assert_allclose(z, parameter.detach().numpy(), atol=1e-6)


def test_a_normalised_gradient_moves_each_row_the_same_way_at_any_scale():
    z, gradient = np.zeros((2, 5), np.float32), random_rows(2)
    scaled = gradient * np.array([[1.0], [4096.0]], np.float32)
    solver = Momentum(momentum=0.0, normalise=True)
    one, other = (updated(solver, z, each, z).z for each in (gradient, scaled))
    np.testing.assert_allclose(one, other, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 0.01, rtol=1e-6)


def test_a_zero_gradient_is_no_division_by_zero():
    z = random_rows(2)
    after = updated(Momentum(normalise=True), z, np.zeros_like(z), np.zeros_like(z))
    np.testing.assert_array_equal(after.z, z)


def test_adam_equals_torch_s_adam():
    z = random_rows(2)
    parameter = torch.nn.Parameter(torch.tensor(z))
    optimiser = torch.optim.Adam([parameter], lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    first, second = np.zeros_like(z), np.zeros_like(z)
    for step in range(1, 31):
        gradient = random_rows(2, seed=step) * 100
        parameter.grad = torch.tensor(gradient)
        optimiser.step()
        z, own = updated(Adam(), z, gradient, first, second, step=step)
        first, second = own["first_moment"], own["second_moment"]
        np.testing.assert_allclose(z, parameter.detach().numpy(), atol=1e-6)


def test_every_rule_stays_in_the_cube():
    z, push = np.full((1, 3), 0.99, np.float32), np.full((1, 3), -1e4, np.float32)
    zero = np.zeros_like(z)
    assert updated(Momentum(), z, push, zero).z.max() == 1
    assert updated(Adam(), z, push, zero, zero, lr=1.0).z.max() == 1
    assert lbfgs_step(z, push, lr=1.0).max() == 1
    assert drift(z, -push, size=1.0).max() == 1
    assert drift(z, -push, size=1.0, bound=3.0).max() == 3


def remembered(rows: int, z_dim: int, memory: int, count: int) -> Pairs:
    """``count`` pairs of a loss whose Hessian has eigenvalues from 0.5 to 50."""
    shape = (rows, memory, z_dim)
    pairs = Pairs(
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape[:2], np.float32),
        np.zeros(rows, np.int32),
    )
    stiff = np.geomspace(0.5, 50, z_dim).astype(np.float32)
    for number in range(count):
        move = random_rows(rows, z_dim, seed=100 + number)
        pairs = remember(pairs, move, stiff * move)
    return pairs


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_the_direction_of_lbfgs_is_the_gradient_times_the_matrix_of_bfgs(count):
    pairs, gradient = remembered(2, 6, 4, count), random_rows(2, 6)
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = direction_of(gradient, pairs)
    for row in range(2):
        newest_last = [number % 4 for number in range(max(count - 4, 0), count)]
        moves, changes = (each[row].astype(np.float64) for each in pairs[:2])
        inverse = np.eye(6)
        if count:
            s, y = moves[newest_last[-1]], changes[newest_last[-1]]
            inverse *= (s @ y) / (y @ y)
        for slot in newest_last:
            s, y = moves[slot], changes[slot]
            left = np.eye(6) - np.outer(s, y) / (s @ y)
            inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
        np.testing.assert_allclose(direction[row], inverse @ gradient[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("curvature", [-1.0, 0.0, 1e-9, np.nan, np.inf])
def test_lbfgs_forgets_a_pair_that_shows_no_curvature(curvature):
    pairs = remembered(1, 3, 4, 2)
    move, across = np.array([[1, 0, 0]], np.float32), np.array([[0, 1, 0]], np.float32)
    with np.errstate(invalid="ignore"):
        after = remember(pairs, move, across + np.float32(curvature) * move)
    for kept, before in zip(after, pairs, strict=True):
        np.testing.assert_array_equal(kept, before)


def test_a_step_of_lbfgs_is_as_long_as_its_direction_but_not_longer_than_the_learning_rate():
    z = np.zeros((2, 4), np.float32)
    short, long = np.full((1, 4), 0.01, np.float32), np.full((1, 4), 5.0, np.float32)
    moved = lbfgs_step(z, np.concatenate([short, long]), lr=0.1)
    np.testing.assert_allclose(moved, [[-0.01] * 4, [-0.1] * 4], rtol=1e-6)


def test_lbfgs_finds_the_floor_of_a_narrow_valley_in_few_steps():
    stiff = np.geomspace(0.2, 10, 20).astype(np.float32)
    floor = random_rows(1, 20)
    pairs, z = remembered(1, 20, 5, 0), np.zeros((1, 20), np.float32)
    last_z, last_gradient = z, np.zeros_like(z)
    with np.errstate(invalid="ignore", divide="ignore"):
        for step in range(60):
            gradient = stiff * (z - floor)
            if step:
                pairs = remember(pairs, z - last_z, gradient - last_gradient)
            last_z, last_gradient = z, gradient
            z = lbfgs_step(z, direction_of(gradient, pairs), lr=0.3)
    np.testing.assert_allclose(z, floor, atol=1e-3)


def test_hmc_walks_back_where_it_came_from_and_keeps_its_energy():
    z, momentum = random_rows(3), random_rows(3, seed=1)
    start, size, beta = z, 0.01, 0.7

    def walk(z, momentum):
        for _ in range(50):
            momentum = half_kick(momentum, z, size=size, beta=beta)  # of |z|² / 2
            z = drift(z, momentum, size=size)
            momentum = half_kick(momentum, z, size=size, beta=beta)
        return z, momentum

    def energy(z, momentum):
        return energy_of((z * z).sum(axis=1) / 2, momentum, beta=beta)

    end, momentum_there = walk(z, momentum)
    assert np.abs(end - start).max() > 0.05
    np.testing.assert_allclose(energy(end, momentum_there), energy(start, momentum), rtol=1e-4)
    np.testing.assert_allclose(walk(end, -momentum_there)[0], start, atol=1e-5)


def test_hmc_takes_what_is_lower_and_sometimes_what_is_higher():
    before = np.zeros(4, np.float32)
    after = np.array([-5, 1, 1, np.inf], np.float32)
    uniform = np.array([0.999, 0.36, 0.37, 1e-6], np.float32)  # exp(-1) = 0.3679
    assert accepts(before, after, uniform).tolist() == [True, True, False, False]


@pytest.mark.parametrize("rows", [1, 2, 3, 17])
def test_a_row_does_not_depend_on_the_rows_beside_it(rows):
    z, first, second, gradient = (random_rows(17, 100, seed) for seed in range(4))
    second = np.abs(second)

    def every_rule(n):
        momentum = updated(Momentum(normalise=True), z[:n], gradient[:n], first[:n])
        adam = updated(Adam(), z[:n], gradient[:n], first[:n], second[:n], step=3)
        pairs = Pairs(*(each[:n] for each in remembered(17, 100, 5, 7)))
        lbfgs = lbfgs_step(z[:n], direction_of(gradient[:n], pairs), lr=0.1)
        energy = energy_of(z[:n, 0], first[:n], beta=0.2)
        return [momentum.z, *momentum.own.values(), adam.z, *adam.own.values(), lbfgs, energy]

    for few, all_rows in zip(every_rule(rows), every_rule(17), strict=True):
        np.testing.assert_array_equal(few, all_rows[:rows])
        assert few.dtype == np.float32
