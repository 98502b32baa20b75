"""Faces found in photographs."""

from __future__ import annotations

import sys

import numpy as np
import onnx.parser
import pytest
from PIL import Image

import edgefill
from benchmarks.metrics import psnr
from edgefill.errors import BackendUnavailable
from edgefill.faces import finding
from edgefill.faces.finding import find_faces
from edgefill.pictures.images import find_pictures

EYES = np.array([[0.26, 0.235], [0.77, 0.235]])  # in the pictures of faces


def composed(face: Image.Image, size: tuple[int, int], centre, side: int, angle: float):
    """``face`` in a plain photograph, enlarged to ``side`` and turned, and what takes its places there."""
    turn = np.deg2rad(angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    start = side / 2 - axes.T @ centre
    data = (*axes.T[0], start[0], *axes.T[1], start[1])
    large = face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    there = Image.new("L", (side, side), 255).transform(size, Image.Transform.AFFINE, data)
    picture = Image.new("RGB", size, (120, 140, 150))
    picture.paste(large.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC), mask=there)
    return picture, lambda share: axes @ (np.asarray(share) * side - side / 2) + centre


@pytest.fixture(scope="module")
def portrait(faces):
    return composed(Image.open(find_pictures([faces / "test"])[3]), (420, 360), (220, 170), 170, 24)


def test_a_face_is_found_wherever_it_is_and_completed_as_it_stands(portrait):
    """Better by decibels than without regard to how it lies: a nose and half a mouth are missing."""
    picture, place = portrait
    known_eyes = np.concatenate([place(each) for each in EYES]) - 0.5
    rows, columns = np.mgrid[:360, :420]
    x, y = place((0.5, 0.6))
    hole = (rows - y) ** 2 + (columns - x) ** 2 < 34**2
    original = np.asarray(picture).astype(np.float32) / 127.5 - 1
    scores = {}
    with edgefill.load("faces64-glcic") as completer:
        for how in ({}, {"align": True}, {"eyes": tuple(known_eyes)}):
            result = completer.complete(picture, hole, **how)
            filled = np.asarray(result.image)
            assert (filled[~hole] == np.asarray(picture)[~hole]).all()
            scores[next(iter(how), "")] = psnr(original, filled / np.float32(127.5) - 1, hole)
            if how.get("align"):
                assert np.abs(np.array(result.eyes[0]) - known_eyes).max() < 0.1 * 170
    assert min(scores["align"], scores["eyes"]) > scores[""] + 1, scores


def test_two_faces_are_two_and_a_landscape_is_none(faces):
    paths = find_pictures([faces / "test"])
    canvas = Image.new("L", (700, 300), 128)
    for number, left in enumerate((60, 430)):
        canvas.paste(Image.open(paths[number + 3]).convert("L").resize((200, 200)), (left, 50))
    found = sorted(find_faces(np.asarray(canvas)[:, :, None].astype(np.uint16) * 257))
    expected = [(EYES * 200 + (left, 50)).ravel() for left in (60, 430)]
    np.testing.assert_allclose(found, expected, atol=40)  # of 200: people look aside
    rows = np.linspace(0, 255, 200).astype(np.uint8)
    assert find_faces(np.broadcast_to(rows[:, None, None], (200, 300, 3))) == ()


def test_without_its_packages_the_eyes_can_be_said(monkeypatch):
    finding._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BackendUnavailable, match=r"--eyes x,y,x,y.*install"):
        finding.check_detector()
    monkeypatch.undo()
    finding.check_detector()


@pytest.mark.parametrize("content", [None, b"", b"half a file", "another network"])
def test_weights_that_are_none_are_an_error_in_words(monkeypatch, tmp_path, content):
    """The file is not there, was damaged, or OpenCV reads it and it finds no faces."""
    if content == "another network":
        graph = "g (float[1, 3, 320, 320] input) => (float[1, 3, 320, 320] out) { out = Relu (input) }"
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 13]> {graph}')
        content = model.SerializeToString()
    if content is not None:
        (tmp_path / finding._WEIGHTS).write_bytes(content)
    monkeypatch.setattr(finding, "files", lambda _: tmp_path)
    finding._detector.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"not YuNet's: OpenCV.*--eyes x,y,x,y.*force-reinstall"):
        finding.check_detector()
    monkeypatch.undo()
    finding.check_detector()
