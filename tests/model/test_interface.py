"""What a completion network wants to see, acted on: every convention, read back as it was said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgefill.errors import ModelError
from edgefill.model.interface import Input, Interface, Mask, Output, Range, Sizes
from edgefill.model.manifest import completion_interface

PLAIN = completion_interface(3, trained_side=64, sizes=Sizes(), reach=None)
JOINED = replace(PLAIN, inputs=(Input("seen", ("mask", "picture")),), mask=Mask(0.5, -0.5))
BYTES = Interface(
    (Input("image", ("picture",), "NHWC", "uint8"), Input("mask", ("mask",), "NHW")),
    Output("result", "NHWC", "uint8", Range.named("0..255")),
    trained_side=64, order="BGR", range=Range.named("0..255"), mask=Mask(0, 255), sees="white",
)  # fmt: skip
NORMALISED = replace(
    PLAIN, range=Range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), mask=Mask(1, 0, channels=3)
)


def case(rows: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    picture = random.uniform(-1, 1, (rows, 3, 6, 8)).astype(np.float32)
    return picture, (random.random((rows, 1, 6, 8)) < 0.7).astype(np.float32)


def test_mask_and_picture_are_joined_in_the_order_that_is_wanted():
    picture, known = case()
    (seen,) = JOINED.feeds(picture, known).values()
    np.testing.assert_array_equal(seen, np.concatenate([known - 0.5, picture * known], 1))


def test_bytes_with_channels_last_in_blue_green_red_and_a_white_hole():
    picture, known = case()
    feeds = BYTES.feeds(picture, known)
    expected = np.where(known > 0, np.rint((picture + 1) * 127.5), 255)[:, ::-1].transpose(0, 2, 3, 1)
    assert feeds["image"].dtype == np.uint8
    np.testing.assert_array_equal(feeds["image"], expected)
    np.testing.assert_array_equal(feeds["mask"], 255 * (1 - known[:, 0]))


def test_a_mean_and_a_deviation_of_each_channel_with_nothing_in_the_hole():
    picture, known = case()
    feeds = NORMALISED.feeds(picture, known)
    mean, deviation = (np.array(each).reshape(1, 3, 1, 1) for each in vars(NORMALISED.range).values())
    expected = ((picture + 1) / 2 - mean) / deviation * known
    np.testing.assert_allclose(feeds["picture"], expected, atol=1e-5)
    assert feeds["known"].shape == picture.shape


@pytest.mark.parametrize("interface", [PLAIN, JOINED, BYTES, NORMALISED])
def test_what_the_picture_holds_in_the_hole_is_never_fed(interface):
    picture, known = case()
    other = np.where(known > 0, picture, -picture)
    for one, same in zip(*(interface.feeds(each, known).values() for each in (picture, other)), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("interface", [PLAIN, JOINED, BYTES, NORMALISED])
def test_torch_and_numpy_feed_and_read_the_same(interface):
    picture, known = case()
    feeds = interface.feeds(picture, known)
    again = interface.feeds(torch.from_numpy(picture), torch.from_numpy(known), torch)
    for name, values in feeds.items():
        np.testing.assert_array_equal(again[name].numpy(), values)
    drawn = np.ascontiguousarray(interface.feeds(picture, np.ones_like(known))[interface.inputs[0].name])
    if drawn.shape[1] == 3 or drawn.shape[-1] == 3:
        found = interface.drawn({interface.output.name: drawn})
        other = interface.drawn({interface.output.name: torch.from_numpy(drawn)}, torch)
        np.testing.assert_allclose(other.numpy(), found, atol=1e-6)


def test_what_is_read_back_is_what_was_drawn():
    picture, known = case()
    image = BYTES.feeds(picture, np.ones_like(known))["image"]
    assert np.abs(BYTES.drawn({"result": image}) - picture).max() <= 1 / 127.5


@pytest.mark.parametrize("interface", [PLAIN, JOINED, BYTES, NORMALISED])
def test_json_says_all_of_it(interface):
    assert Interface.from_json(json.loads(json.dumps(interface.to_json())), "a file") == interface


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": "RBG"}, "order of a file is 'RBG'; expected one of RGB, BGR, L"),
        ({"raech": 3}, "did you mean 'reach'"),
        ({"range": "0..2"}, "expected one of -1..1, 0..1, 0..255"),
        ({"range": {"mean": [0.5, 0.5], "deviation": [1, 1]}}, "ranges of"),
        ({"mask": {"known": 1, "missing": 1}}, "a mask of 1 for known and missing"),
        ({"inputs": [{"name": "picture", "parts": ["picture"]}]}, "puts the mask into 0 inputs"),
        ({"trained_side": 0}, "of 0"),
        ({"trained_side": -3}, "a whole number from 0 on"),
        ({"sizes": {"fixed": [512]}}, "expected a list of 2"),
        ({"output": {}}, "has no 'name'"),
    ],
)
def test_what_is_wrong_is_named(change, said):
    with pytest.raises(ModelError) as error:
        Interface.from_json({**json.loads(json.dumps(PLAIN.to_json())), **change}, "a file")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (Sizes(multiple=4), (100, 100)),
        (Sizes(multiple=32), (128, 128)),
        (Sizes(multiple=8, smallest=200), (200, 200)),
        (Sizes(fixed=(16, 24)), (16, 24)),
    ],
)
def test_a_network_is_shown_frames_of_a_size_that_it_takes(sizes, expected):
    interface = completion_interface(3, trained_side=100, sizes=sizes, reach=None)
    assert interface.cells == interface.of_one_size().cells == expected


@pytest.mark.parametrize(
    ("side", "sizes", "expected"),
    [
        (512, Sizes(multiple=32), (192, 192)),
        (192, Sizes(multiple=32), (96, 96)),
        (144, Sizes(multiple=16), (96, 96)),
        (96, Sizes(multiple=32), None),
        (256, Sizes(smallest=256), None),
        (256, Sizes(fixed=(256, 256)), None),
    ],
)
def test_around_a_thin_hole_it_is_shown_a_third_of_that_where_it_takes_it(side, sizes, expected):
    interface = completion_interface(3, trained_side=side, sizes=sizes, reach=None)
    assert interface.cells_of_thin == expected and interface.of_one_size().cells_of_thin is None
