"""Completion in one pass: any size, hole by hole, in batches; on a stand-in network."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgefill.completion import Completer, Request, SearchSettings
from edgefill.errors import InputError, ModelError
from edgefill.holes.smooth import smooth_drawing
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import prepare
from edgefill.jobs.request import Failure
from edgefill.methods.feed_forward import canvas
from edgefill.methods.feed_forward.method import FeedForward
from edgefill.model.interface import Sizes
from edgefill.model.manifest import COMPLETION, Manifest, completion_interface
from edgefill.pictures.images import Picture, from_unit, to_unit
from edgefill.pictures.masks import parse_mask
from edgefill.runtimes import Interrupted
from edgefill.runtimes.host import HostRuntime

LONG = 60  # seconds that nothing here takes
MODEL = Manifest(
    "averages", interface=completion_interface(3, trained_side=64, sizes=Sizes(multiple=4), reach=30)
)


class Averages(HostRuntime):
    """Fills a pixel with the mean of what is known within some pixels around it."""

    def __init__(self, reach: int = 30) -> None:
        self.reach = reach
        self.seen: list[tuple[int, int]] = []
        self.rows: list[int] = []

    def run(self, graph, feeds):
        assert graph == COMPLETION
        return {"completed": self.complete(feeds["picture"], feeds["known"])}

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        height, width = known.shape[2:]
        assert height % 4 == width % 4 == 0 and picture.dtype == known.dtype == np.float32
        self.seen.append((height, width))
        self.rows.append(len(picture))
        total, count = (_around(values, self.reach) for values in (np.where(known > 0, picture, 0), known))
        return np.divide(total, count, out=np.zeros_like(total), where=count > 0.5).astype(np.float32)


def _around(values: np.ndarray, reach: int) -> np.ndarray:
    sums = np.pad(values.astype(np.float64), [(0, 0), (0, 0), (reach + 1, reach), (reach + 1, reach)])
    for axis in (2, 3):
        sums = sums.cumsum(axis)
        window = 2 * reach + 1
        before = np.take(sums, range(sums.shape[axis] - window), axis)
        sums = np.take(sums, range(window, sums.shape[axis]), axis) - before
    return sums


@pytest.fixture
def backend() -> Averages:
    return Averages()


@pytest.fixture
def completer(backend) -> Completer:
    return Completer(MODEL, backend)


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return values if channels > 1 else values[:, :, 0]


def test_what_is_drawn_in_parts_is_as_in_the_whole_picture(monkeypatch):
    """A long shallow hole over many frames, by a network that sees no further than a frame shows."""
    near = replace(MODEL, interface=replace(MODEL.passed, reach=7))
    runtime = Averages(reach=7)
    values = np.random.default_rng(0).integers(0, 256, (200, 500, 3), np.uint8)
    known = np.ones((200, 500), bool)
    known[30:36] = known[100:103, 3:490] = known[20:170, 240:246] = False
    result = Completer(near, runtime).complete(with_alpha(values, known), "alpha", blend="none")
    assert runtime.seen == [(64, 64)] and runtime.rows[0] > 10, "frames go through the network together"
    unit = to_unit(values).transpose(2, 0, 1)[None]
    whole = from_unit(runtime.complete(unit, known[None, None].astype(np.float32))[0].transpose(1, 2, 0))
    off = np.abs(result.picture.values.astype(int) - whole)[~known]
    assert off.max() <= 1


def test_blending_takes_away_what_the_network_is_off_at_the_seam(completer, backend, monkeypatch):
    honest = backend.complete
    monkeypatch.setattr(backend, "complete", lambda picture, known: honest(picture, known) + 0.3)
    flat = np.full((50, 40, 3), 90, np.uint8)
    blended, raw = (np.asarray(completer.complete(flat, blend=blend).image) for blend in ("poisson", "none"))
    assert np.abs(blended.astype(int) - 90).max() <= 1
    assert np.abs(raw.astype(int) - 90).max() > 30


def with_alpha(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.dstack([values, np.where(known, np.uint8(255), np.uint8(0))])


def test_what_the_picture_holds_in_its_hole_is_never_seen(completer):
    known = np.ones((150, 200), bool)
    known[20:50, 30:90] = known[100, 5:190] = False
    white, black = (np.where(known[:, :, None], picture(150, 200), np.uint8(colour)) for colour in (255, 0))
    done = [np.asarray(completer.complete(with_alpha(each, known), "alpha").image) for each in (white, black)]
    np.testing.assert_array_equal(*done)


def test_far_apart_holes_are_looked_at_one_by_one_and_together(completer, backend):
    known = np.ones((2000, 2000), bool)
    known[10:20, 10:20] = known[1900:1910, 1950:1960] = False
    completer.complete(with_alpha(np.zeros((2000, 2000, 3), np.uint8), known), "alpha")
    assert backend.seen == [(64, 64)] and backend.rows == [2]


def test_a_picture_is_completed_the_same_whatever_is_completed_with_it(completer):
    sources = [picture(90, 120, seed=seed) for seed in range(5)]
    together = list(completer.complete_many(sources, Request("random:0.1"), batch=5))
    for source, result in zip(sources, together, strict=True):
        alone = completer.complete(source, "random:0.1")
        np.testing.assert_array_equal(np.asarray(alone.image), np.asarray(result.image))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_picture_whose_drawing_is_not_finite_fails_and_leaves_the_others_alone(backend, wrong, monkeypatch):
    honest = backend.complete

    def sometimes(picture, known):
        drawn = honest(picture, known)
        drawn[picture[:, :, 0].mean((1, 2)) == 1, :, 5, 5] = wrong  # where the first row is white
        return drawn

    monkeypatch.setattr(backend, "complete", sometimes)
    white = np.full((64, 64, 3), 255, np.uint8)
    outcomes = list(
        Completer(MODEL, backend).complete_many([picture(64, 64), white, picture(64, 64, seed=1)])
    )
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, True, False]
    assert "averages drew NaN or Inf" in str(outcomes[1].error)
    with pytest.raises(ModelError, match="averages drew NaN or Inf"):
        Completer(MODEL, backend).fill(white[None], np.ones((1, 64, 64), bool))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (64, 64), (131, 77), (600, 50)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mask", ["center", "random:0.5", "left", "bottom", "full"])
def test_any_size_and_hole_keeps_what_is_known_bit_for_bit(completer, size, channels, mask):
    source = picture(*size, channels)
    result = completer.complete(source, mask)
    done, known = np.asarray(result.image), result.photograph.known
    assert done.shape == source.shape and done.dtype == np.uint8
    np.testing.assert_array_equal(done[known], source[known])
    if not known.all():
        assert result.ended == "pass" and result.z is None and result.steps == 0


def test_where_nothing_is_missing_nothing_runs(completer, backend):
    source = picture(40, 40)
    cut = np.dstack([source, np.full((40, 40), 255, np.uint8)])
    result = completer.complete(cut, "alpha")
    np.testing.assert_array_equal(np.asarray(result.image), cut)
    assert not backend.seen and "nothing is missing" in result.notices[0]


def test_where_nothing_is_known_the_network_draws_all_and_says_so(completer, tmp_path):
    Image.new("L", (30, 20), 255).save(tmp_path / "all.png")
    result = completer.complete(picture(20, 30), str(tmp_path / "all.png"))
    assert "what the model draws where it sees nothing" in result.notices[0]
    assert np.asarray(result.image).shape == (20, 30, 3)


def test_a_grey_flat_is_continued_whatever_the_hole(completer):
    for mask in ("center", "random", "left", "pattern", "grid"):
        result = completer.complete(np.full((200, 150, 3), 90, np.uint8), mask)
        assert np.abs(np.asarray(result.image).astype(int) - 90).max() <= 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"settings": SearchSettings()}, "settings of a search"),
        ({"trace": True}, "a trace"),
        ({"frames": 3}, "frames"),
        ({"candidates": 2}, "candidates"),
        ({"confidence": True}, "confidence"),
        ({"mask": "lowres"}, "lowres"),
    ],
)
def test_what_only_a_search_can_give_is_refused(completer, asked, said):
    with pytest.raises(InputError, match=f"averages completes in one pass.*{said}.*a model that searches"):
        next(completer.complete_many([picture(8, 8)], Request(**asked)))


def test_a_picture_that_fails_leaves_the_others_alone(completer):
    outcomes = list(completer.complete_many([picture(9, 9), "gone.png", picture(8, 8)]))
    assert [type(outcome) for outcome in outcomes].count(Failure) == 1
    assert isinstance(outcomes[1], Failure) and outcomes[1].source == "gone.png"


def test_arrays_take_the_short_way(completer):
    pictures = np.stack([picture(64, 64, seed=seed) for seed in range(3)])
    known = np.ones((3, 64, 64), bool)
    known[:, 20:40, 10:30] = False
    filled = completer.fill(pictures, known)
    np.testing.assert_array_equal(filled[known], pictures[known])
    assert (filled[~known] != pictures[~known]).any()
    with pytest.raises(InputError, match=r"one pass.*settings of a search"):
        completer.fill(pictures, known, settings=SearchSettings())
    with pytest.raises(InputError, match="got 4 seeds for 3 pictures"):
        completer.fill(pictures, known, seeds=range(4))


def test_a_region_that_was_cut_out_is_seen_as_one(completer, backend):
    source = picture(300, 400)
    result = completer.complete(source, "center", box=(50, 60, 200, 160))
    assert backend.seen == [(64, 64)] and backend.rows == [1]
    done, known = np.asarray(result.image), np.ones((300, 400), bool)
    known[60:220, 50:250] = result.photograph.known
    np.testing.assert_array_equal(done[known], source[known])


def test_an_output_that_is_pasted_says_nothing_of_the_seam(backend, monkeypatch):
    """What is known stands in it as it was given: it fades in as a drawing for the hole only does."""
    honest = backend.complete

    def pasted(picture, known):
        return np.where(known > 0, picture, honest(picture, known) + 0.3).astype(np.float32)

    monkeypatch.setattr(backend, "complete", pasted)
    output = replace(MODEL.passed.output, pasted=True)
    model = replace(MODEL, interface=replace(MODEL.passed, output=output))
    flat = np.full((64, 64, 3), 90, np.uint8)
    row = np.asarray(Completer(model, backend).complete(flat, "center").image)[32, :, 0].astype(int)
    assert 0 < row[16] - 90 < row[17] - 90 < row[18] - 90 < row[30] - 90


def test_a_hairline_is_filled_without_the_network(completer, backend):
    """Biharmonically, in the channels of the picture; of a wider hole the network draws all that is deep."""
    row, column = np.mgrid[:90, :120]
    waves = np.stack([128 + 90 * np.sin(row / by) * np.cos(column / 9) for by in (7, 11, 17)], -1).astype(
        np.uint8
    )
    scratch = np.zeros((90, 120), bool)
    scratch[40:43, 10:100] = True
    for values in (waves, waves[:, :, 0]):
        result = completer.complete(with_alpha(values, ~scratch), "alpha")
        assert backend.seen == []
        expected = from_unit(smooth_drawing(np.atleast_3d(values), ~scratch))[scratch]
        np.testing.assert_allclose(np.atleast_3d(result.picture.values)[scratch], expected, atol=1)
    pan = scratch.copy()
    pan[20:60, 10:50] = True
    result = completer.complete(with_alpha(waves, ~pan), "alpha")
    assert backend.seen == [(64, 64)] and backend.rows == [1]
    handle = scratch & (column > 60)
    np.testing.assert_allclose(
        result.picture.values[handle], from_unit(smooth_drawing(waves, ~scratch))[handle], atol=1
    )
    assert (result.picture.values[~pan] == waves[~pan]).all()


def test_a_stroke_is_the_mean_of_the_networks_drawing_and_the_smooth_filling(completer, monkeypatch):
    """In the middle of what is off one way and another; a wider hole is the network's alone."""
    values, share = picture(64, 96), canvas._SMOOTH_SHARE
    for width, mixed in ((8, share), (14, 0)):
        known = np.ones((64, 96), bool)
        known[20 : 20 + width, 10:80] = False
        done = completer.complete(with_alpha(values, known), "alpha").picture.values[~known]
        with monkeypatch.context() as alone:
            alone.setattr(canvas, "_SMOOTH_SHARE", 0)
            drawn = completer.complete(with_alpha(values, known), "alpha").picture.values[~known]
        smooth = from_unit(smooth_drawing(values, known))[~known].astype(float)
        assert np.abs(smooth - drawn).max() > 20
        np.testing.assert_allclose(done, drawn + mixed * (smooth - drawn), atol=1.5)


def test_without_blending_the_network_draws_hairlines_too(completer, backend):
    known = np.ones((64, 64), bool)
    known[30:32, 5:50] = False
    completer.complete(with_alpha(picture(64, 64), known), "alpha", blend="none")
    assert backend.seen == [(64, 64)]


class Held(HostRuntime):
    """A network whose pass lasts until it is interrupted."""

    def __init__(self) -> None:
        self.entered, self.interrupted = threading.Event(), threading.Event()

    def run(self, graph, feeds):
        self.entered.set()
        assert self.interrupted.wait(LONG)
        raise Interrupted

    def interrupt(self):
        self.interrupted.set()


def test_a_pass_ends_when_all_that_waited_for_it_are_late_one_after_another_or_gone():
    runtime, gone, now = Held(), threading.Event(), time.perf_counter()
    method = FeedForward(MODEL, runtime, 3)
    method._pass_seconds = 1e-3  # so that more than one frame is dared at once
    photograph = prepare(Picture(picture(64, 64)), parse_mask("center"), MODEL, seed=0)
    for number, (left, is_off) in enumerate(
        ((LONG, lambda: False), (2 * LONG, lambda: False), (math.inf, gone.is_set))
    ):
        method.accept(Order("picture", Request(), now + left, (0, number), is_off), photograph)
    with ThreadPoolExecutor(1) as worker:
        turn = worker.submit(method.turn, math.inf)
        assert runtime.entered.wait(LONG)
        late = method.late(now + LONG)
        gone.set()
        assert len(late) == 1 and not runtime.interrupted.is_set(), "one still waits"
        late += method.late(now + 2 * LONG)
        assert len(late) == 2 and runtime.interrupted.is_set()
        assert turn.result(LONG) == []
    assert {ended.finish().ended for ended in late} == {"time"}
