"""Any number of rows, whatever a network takes at once and in whatever layout."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.model.interface import Input, Interface, Mask, Output, Sizes
from edgefill.model.manifest import COMPLETION, Manifest
from edgefill.runtimes.rows import in_portions, in_whole_batches, row_count, sides_of


def model(layout: str = "NCHW", batch: int | None = None, fixed: tuple[int, int] | None = None) -> Manifest:
    """A network that is given the mask and the picture apart and draws the negative."""
    mask = layout.replace("C", "")
    inputs = Input("picture", ("picture",), layout), Input("mask", ("mask",), mask)
    interface = Interface(
        inputs, Output("drawn", layout), 8, mask=Mask(), sizes=Sizes(fixed=fixed), batch=batch
    )
    return Manifest("negative", interface=interface)


def pictures(rows: int, side: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    picture = rng.uniform(-1, 1, (rows, 3, side, side + 2)).astype(np.float32)
    return picture, (rng.random((rows, 1, side, side + 2)) < 0.5).astype(np.float32)


class Network:
    """Notes the shapes that it is given."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.shapes = manifest, []

    def __call__(self, feeds):
        assert [feeds[name].ndim for name in feeds] == [
            len(shape) for shape in self.manifest.passed.signature[0].values()
        ]
        self.shapes.append(feeds["picture"].shape)
        return {"drawn": -feeds["picture"]}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "CHW", "HWC"])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_every_row_is_drawn_in_its_place(layout, rows):
    manifest = model(layout)
    interface, network = manifest.passed, Network(manifest)
    picture, known = pictures(rows)
    feeds = interface.feeds(picture, known)
    assert row_count(manifest, COMPLETION, feeds) == rows
    assert sides_of(manifest, COMPLETION, feeds) == (6, 8)
    most = interface.rows or 2
    drawn = interface.drawn(in_portions(network, manifest, COMPLETION, feeds, most))
    np.testing.assert_array_equal(drawn, -picture * known)
    assert len(network.shapes) == -(-rows // most)
    assert most == (2 if "N" in layout else 1)


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_a_batch_that_is_fixed_is_filled_up_and_cut(rows):
    manifest = model(batch=3)
    network = Network(manifest)
    picture, known = pictures(rows)
    feeds = manifest.passed.feeds(picture, known)
    drawn = manifest.passed.drawn(in_whole_batches(network, manifest, COMPLETION, feeds, 3))
    np.testing.assert_array_equal(drawn, -picture * known)
    assert {shape[0] for shape in network.shapes} == {3}


def test_one_number_of_rows_that_is_any_runs_at_once():
    manifest = model(fixed=(6, 8))
    network = Network(manifest)
    feeds = manifest.passed.feeds(*pictures(5))
    in_portions(network, manifest, COMPLETION, feeds)
    assert network.shapes == [(5, 3, 6, 8)] and sides_of(manifest, COMPLETION, feeds) is None
