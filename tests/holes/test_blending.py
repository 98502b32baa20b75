"""The hole continues its surroundings, and nothing else changes."""

import math
import time

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from edgefill.holes import blending, nets
from edgefill.holes.blending import harmonic_fill, poisson_blend
from edgefill.pictures.images import Picture
from edgefill.pictures.masks import known_pixels, parse_mask

RNG = np.random.default_rng(0)


def holes(height: int, width: int) -> dict[str, np.ndarray]:
    """Every kind of hole that has given somebody trouble, as ``known [H, W]``."""
    picture = Picture(np.zeros((height, width, 1), np.uint8))
    kinds = ["center", "left", "top", "grid", "random:0.9", "random:0.02", "pattern:0.5"]
    known = {text: known_pixels(parse_mask(text), picture, seed=1) for text in kinds}
    rows, columns = np.indices((height, width))
    known["one pixel"] = (rows != 3) | (columns != 2)
    known["a corner"] = (rows > 4) | (columns > 6)
    known["one known pixel"] = (rows == height // 3) & (columns == width - 1)
    known["checkerboard"] = (rows + columns) % 2 == 0
    known["two islands"] = ((rows < 2) | (rows > 6) | (columns < 2) | (columns > 5)) & (rows < height - 3)
    known["thin walls"] = rows % 8 == 4
    spiral = (abs(rows - height / 2) + abs(columns - width / 2)) % 9 < 3
    known["rings"] = ~spiral
    return known


@pytest.fixture(params=["as it chooses", "in boxes", "by pixels"])
def solver(request, monkeypatch):
    """Every hole in its box, or none, or as ``poisson_blend`` finds it quickest."""
    if request.param != "as it chooses":
        monkeypatch.setattr(blending, "_FULL", 0 if request.param == "in boxes" else 2)
    return request.param


def exact(source: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The Poisson equation as it is written: one row for each pixel, solved directly in double precision."""
    height, width = known.shape
    number = np.arange(known.size).reshape(height, width)
    right = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()])
    down = np.stack([number[:-1].ravel(), number[1:].ravel()])
    one, other = np.concatenate([right, down], axis=1)
    adjacent = sparse.coo_array((np.ones(one.size), (one, other)), shape=(known.size, known.size))
    adjacent = adjacent + adjacent.T
    laplacian = sparse.diags_array(adjacent.sum(axis=0)) - adjacent
    inside = sparse.diags_array((~known).ravel().astype(float))
    keep = sparse.diags_array(known.ravel().astype(float))
    system = (inside @ laplacian + keep).tocsc()
    pixels = (known.size, source.shape[2])
    wanted = inside @ (laplacian @ source.reshape(pixels)) + keep @ target.reshape(pixels)
    return spsolve(system, wanted).reshape(source.shape)


@pytest.mark.parametrize("size", [(64, 64), (30, 47), (131, 90)])
@pytest.mark.parametrize("hole", holes(64, 64))
def test_poisson_is_the_solution_of_its_equation(hole, size, solver):
    known = holes(*size)[hole]
    source, target = RNG.uniform(-1, 1, (2, *size, 2))
    result = poisson_blend(source, target, known)
    assert np.abs(result - exact(source, target, known)).max() < 0.2 / 255
    assert np.array_equal(result[known], target[known])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_known_pixels_and_arguments_are_untouched(dtype, channels):
    source, target = RNG.uniform(-1, 1, (2, 40, 50, channels)).astype(dtype)
    for known in holes(40, 50).values():
        before = source.copy(), target.copy(), known.copy()
        result = poisson_blend(source, target, known)
        filled = harmonic_fill(target, known)
        for array, copy in zip((source, target, known), before, strict=True):
            assert np.array_equal(array, copy)
        assert result.dtype == filled.dtype == dtype
        assert np.array_equal(result[known], target[known])
        assert np.array_equal(filled[known], target[known])


@pytest.mark.parametrize("hole", holes(64, 64))
def test_a_constant_on_a_constant_is_that_constant(hole, solver):
    known = holes(64, 64)[hole]
    source, target = np.full((64, 64, 3), -0.3, np.float32), np.full((64, 64, 3), 0.7, np.float32)
    assert np.abs(poisson_blend(source, target, known) - 0.7).max() < 1e-5


@pytest.mark.parametrize("hole", holes(64, 64))
def test_a_source_that_differs_by_a_constant_is_moved_onto_the_target(hole, solver):
    known = holes(64, 64)[hole]
    target = RNG.uniform(-1, 1, (64, 64, 1)).astype(np.float32)
    assert np.abs(poisson_blend(target + np.float32(0.4), target, known) - target).max() < 1e-5


def test_a_ramp_is_continued_and_nothing_overshoots():
    ramp = np.broadcast_to(np.linspace(-1, 1, 80, dtype=np.float32)[:, None, None], (80, 60, 1))
    known = np.ones((80, 60), bool)
    known[20:70] = False
    assert np.abs(harmonic_fill(ramp, known) - ramp).max() < 1e-4
    noise = RNG.uniform(-1, 1, (80, 60, 1))
    filled = harmonic_fill(noise, known)
    assert filled[~known].min() >= noise[known].min()
    assert filled[~known].max() <= noise[known].max()


def test_the_border_of_the_picture_pulls_nothing():
    values = np.zeros((30, 40, 1))
    values[:, :10] = 0.6
    known = np.broadcast_to(np.arange(40) < 10, (30, 40))
    assert np.abs(harmonic_fill(values, known) - 0.6).max() < 1e-6


def test_nothing_known_gives_the_source_and_everything_known_the_target():
    source, target = RNG.uniform(-1, 1, (2, 9, 7, 3))
    nothing, everything = np.zeros((9, 7), bool), np.ones((9, 7), bool)
    assert np.array_equal(poisson_blend(source, target, nothing), source)
    assert np.array_equal(poisson_blend(source, target, everything), target)
    assert np.array_equal(harmonic_fill(target, nothing), target)
    assert np.array_equal(harmonic_fill(target, everything), target)


def test_channels_do_not_touch_each_other():
    source, target = RNG.uniform(-1, 1, (2, 64, 64, 3))
    target[:, :, 1] *= 1000
    known = holes(64, 64)["pattern:0.5"]
    together = poisson_blend(source, target, known)
    for channel in (0, 2):
        alone = poisson_blend(source[:, :, [channel]], target[:, :, [channel]], known)
        assert np.abs(together[:, :, [channel]] - alone).max() < 0.2 / 255


def test_it_agrees_with_opencv_where_both_are_defined():
    """OpenCV takes the target's gradients, not the source's, in the outer four pixels of its hole."""
    cv2 = pytest.importorskip("cv2")
    height, width = 96, 120
    rows, columns = np.indices((height, width))
    target = 127 + 90 * np.stack([np.sin(rows / 40 + c) * np.cos(columns / 52) for c in range(3)], axis=2)
    source = 90 + 40 * np.stack([np.sin((rows + columns) / 30 + c) for c in range(3)], axis=2)
    target, source = target.astype(np.uint8), source.astype(np.uint8)
    everything = np.full((height, width), 255, np.uint8)
    centre = (width // 2, height // 2)
    expected = cv2.seamlessClone(source, target, everything, centre, cv2.NORMAL_CLONE)
    known = np.ones((height, width), bool)
    known[4:-4, 4:-4] = False
    result = poisson_blend(source.astype(float), target.astype(float), known)
    assert np.abs(result - expected)[~known].mean() <= 2
    for unblended in (source, target):
        assert np.abs(unblended.astype(float) - expected)[~known].mean() > 15


def test_it_is_fast_where_it_is_called_often_and_where_it_is_large():
    target = RNG.uniform(-1, 1, (1000, 1000, 3)).astype(np.float32)
    known = known_pixels(parse_mask("center"), Picture(np.zeros((1000, 1000, 1), np.uint8)), seed=0)
    start = time.process_time()
    poisson_blend(np.zeros_like(target), target, known)
    assert time.process_time() - start < 5  # 0.3 s seen
    small, small_known = target[:64, :64], holes(64, 64)["center"]
    start = time.process_time()
    for _ in range(5):
        poisson_blend(np.zeros_like(small), small, small_known)
    assert (time.process_time() - start) / 5 < 0.1  # 7 ms seen


@pytest.mark.parametrize("hole", holes(64, 64))
def test_eight_iterations_are_enough_for_any_hole(hole, solver, monkeypatch):
    monkeypatch.setattr("edgefill.holes.nets._MAX_ITERATIONS", 8)
    target = RNG.uniform(-1, 1, (300, 260, 1))
    known = holes(300, 260)[hole]
    error = harmonic_fill(target, known) - exact(np.zeros_like(target), target, known)
    allowed = 0.05 if solver == "by pixels" and hole == "center" else 0.02  # a rectangle is solved outright
    assert np.abs(error).max() < allowed / 255


def test_large_pictures_are_as_exact_as_small_ones():
    """A ring of known pixels around a hole so large that its channels are solved one by one."""
    height, width = 1102, 1002
    known = np.zeros((height, width), bool)
    known[[0, -1]] = True
    known[:, [0, -1]] = True
    rows, columns = np.indices((height, width)) / 1000.0
    harmonic = np.stack([rows**2 - columns**2, np.exp(rows) * np.sin(columns)], axis=2) / 2
    filled = harmonic_fill(np.where(known[:, :, None], harmonic, 9).astype(np.float32), known)
    assert np.abs(filled - harmonic).max() < 0.5 / 255


def solved_cells(known: np.ndarray, monkeypatch) -> list[int]:
    """How many cells each system of equations has that is solved for a hole."""
    sizes, solution = [], nets.Net.solution
    monkeypatch.setattr(nets.Net, "solution", lambda net, b: (sizes.append(b[0].size), solution(net, b))[1])
    harmonic_fill(RNG.uniform(-1, 1, (*known.shape, 1)).astype(np.float32), known)
    return sizes


def specks(count: int, side: int) -> np.ndarray:
    """``known`` with so many small discs, far from each other, missing of it."""
    known, (rows, columns) = np.ones((side, side), bool), np.indices((12, 12)) - 5.5
    disc, apart = rows**2 + columns**2 > 30, side // math.isqrt(count - 1 + count)
    for number in range(count):
        row, column = (apart * each for each in divmod(number, side // apart))
        known[row + 3 : row + 15, column + 3 : column + 15] &= disc
    return known


@pytest.mark.parametrize("count", [1, 8, 9, 100, 500])
def test_what_is_solved_is_no_more_than_a_multiple_of_the_hole(count, monkeypatch):
    """Nine specks far apart used to be solved as all that lies between them."""
    known = specks(count, 1500)
    sizes = solved_cells(known, monkeypatch)
    assert len(sizes) <= 9
    assert sum(sizes) <= 3 * (~known).sum()


def test_thin_lines_across_a_picture_cost_no_more_than_their_pixels(monkeypatch):
    known = np.ones((1200, 1500), bool)
    known[600:603] = False
    known[:, 400:402] = False
    assert sum(solved_cells(known, monkeypatch)) <= (~known).sum() + 1


def test_many_specks_are_filled_as_each_alone():
    known = specks(100, 600)
    target, source = RNG.uniform(-1, 1, (2, 600, 600, 3))
    result = poisson_blend(source, target, known)
    for row in range(0, 600, 42):
        for column in range(0, 600, 42):
            cell = slice(row, row + 42), slice(column, column + 42)
            alone = poisson_blend(source[cell], target[cell], known[cell])
            assert np.abs(result[cell] - alone).max() < 0.2 / 255


def test_a_large_hole_among_specks_is_solved_in_its_box_and_the_specks_beside_it(monkeypatch):
    known = specks(60, 1500)
    rows, columns = np.indices(known.shape)
    known &= (rows - 1000) ** 2 + (columns - 700) ** 2 > 80**2
    sizes = solved_cells(known, monkeypatch)
    assert len(sizes) == 2
    assert max(sizes) <= 200**2
