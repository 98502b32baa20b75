"""Completion in one pass: any size, tile by tile, coarser where a hole is deep; on a stand-in network."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgefill.completion import Completer, Request, SearchSettings
from edgefill.errors import InputError
from edgefill.jobs.request import Failure
from edgefill.methods import feed_forward
from edgefill.model.interface import Sizes
from edgefill.model.manifest import COMPLETION, Manifest, completion_interface
from edgefill.runtimes.host import HostRuntime

MODEL = Manifest(
    "averages", interface=completion_interface(3, trained_side=64, sizes=Sizes(multiple=4), reach=156)
)


class Averages(HostRuntime):
    """Fills a pixel with the mean of what is known within 20 pixels around it, in picture and batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def run(self, graph, feeds):
        assert graph == COMPLETION
        return {"completed": self.complete(feeds["picture"], feeds["known"])}

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        height, width = known.shape[2:]
        assert height % 4 == width % 4 == 0 and picture.dtype == known.dtype == np.float32
        self.seen.append((height, width))
        total, count = _around(np.where(known > 0, picture, 0)), _around(known)
        return np.divide(total, count, out=np.zeros_like(total), where=count > 0.5).astype(np.float32)


def _around(values: np.ndarray, reach: int = 20) -> np.ndarray:
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


def test_tiles_are_as_the_whole_picture(backend, monkeypatch):
    """A long shallow hole over several tiles; 64 pixels lie between two tiles' own sights."""
    values = np.random.default_rng(0).uniform(-1, 1, (700, 1300, 3)).astype(np.float32)
    known = np.ones((700, 1300), bool)
    known[30:46] = known[600:620, 3:1290] = known[40:610, 640:660] = False
    tiled = feed_forward.complete_values(values, known, MODEL, backend.complete)
    assert len(backend.seen) > 3 and max(map(max, backend.seen)) <= 512 + 2 * 156 + 4
    whole = backend.complete(values.transpose(2, 0, 1)[None], known[None, None].astype(np.float32))[0]
    np.testing.assert_allclose(tiled[~known], whole.transpose(1, 2, 0)[~known], atol=1e-6)
    changed = (tiled != values).any(2)
    assert changed[29].any() and not changed[28].any(), "the edge of a hole is drawn too, and no more"


def test_blending_takes_away_what_the_network_is_off_at_the_seam(completer, backend, monkeypatch):
    honest = backend.complete
    monkeypatch.setattr(backend, "complete", lambda picture, known: honest(picture, known) + 0.3)
    flat = np.full((50, 40, 3), 90, np.uint8)
    blended, raw = (np.asarray(completer.complete(flat, blend=blend).image) for blend in ("poisson", "none"))
    assert np.abs(blended.astype(int) - 90).max() <= 1
    assert np.abs(raw.astype(int) - 90).max() > 30


def test_far_apart_holes_are_looked_at_one_by_one(backend):
    known = np.ones((2000, 2000), bool)
    known[10:20, 10:20] = known[1900:1910, 1950:1960] = False
    feed_forward.complete_values(np.zeros((2000, 2000, 3), np.float32), known, MODEL, backend.complete)
    assert len(backend.seen) == 2 and max(map(max, backend.seen)) < 400


@pytest.mark.parametrize(("depth", "factor"), [(24, 1), (25, 2), (60, 4), (190, 8)])
def test_a_hole_deeper_than_those_in_training_is_filled_in_a_smaller_picture(depth, factor):
    hole = np.zeros((500, 480), bool)
    hole[40 : 40 + 2 * depth, 30 : 30 + 2 * depth] = True
    assert feed_forward._coarseness(hole, hole.shape, 64) == factor


def test_a_picture_as_small_as_those_in_training_stays_as_large():
    assert feed_forward._coarseness(np.ones((64, 64), bool), (64, 64), 64) == 1
    assert feed_forward._coarseness(np.ones((100, 90), bool), (100, 90), 64) == 2


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
    with pytest.raises(InputError, match=f"averages completes in one pass.*{said}.*a dcgan"):
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


def test_a_region_that_was_cut_out_is_seen_no_larger_than_in_training(completer, backend):
    source = picture(300, 400)
    result = completer.complete(source, "center", box=(50, 60, 200, 160))
    assert backend.seen == [(52, 64)]
    done, known = np.asarray(result.image), np.ones((300, 400), bool)
    known[60:220, 50:250] = result.photograph.known
    np.testing.assert_array_equal(done[known], source[known])
    completer.complete(source, "center", box=(50, 60, 40, 30))
    assert max(map(max, backend.seen[1:])) <= 40 + 4, "a small one is not enlarged"
