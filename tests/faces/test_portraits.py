"""Faces completed where they are, by a search and in one pass; what is known stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.completion import Completer, Request
from edgefill.errors import InputError
from edgefill.faces import finding, portraits
from edgefill.model.bundle import Bundle, annotate
from edgefill.model.manifest import Alignment
from edgefill.runtimes.onnx_runtime import OnnxRuntime
from tests.bundles import tiny_bundle, tiny_one_pass

TWO = (20.0, 30.0, 44.0, 36.0, 92.0, 36.0, 116.0, 30.0)
ALIGNMENT = Alignment((0.26, 0.24, 0.77, 0.24))


def with_faces(content: bytes, path):
    """The bundle ``content`` at ``path``, with an alignment."""
    path.write_bytes(content)
    annotate(path, alignment=ALIGNMENT)
    return path


@pytest.fixture(scope="module", params=["search", "pass"])
def completer(request, tmp_path_factory):
    content = tiny_bundle() if request.param == "search" else tiny_one_pass()
    path = with_faces(content, tmp_path_factory.mktemp("faces") / "tiny.edgefill")
    bundle = Bundle.open(path)
    assert bundle.manifest.alignment == ALIGNMENT
    with Completer(bundle.manifest, OnnxRuntime(bundle)) as completer:
        yield completer


@pytest.fixture(scope="module")
def picture():
    rows, columns = np.mgrid[:96, :144]
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 13), np.sin((rows + columns) / 17)], 2)
    return np.rint(127.5 + 100 * waves).astype(np.uint8)


def holes(*boxes):
    """A mask of 96×144 with a square of 12 pixels at each of ``boxes``, as an array."""
    mask = np.zeros((96, 144), bool)
    for top, left in boxes:
        mask[top : top + 12, left : left + 12] = True
    return mask


def test_each_hole_is_filled_by_the_face_it_lies_in(completer, picture):
    left, right = holes((40, 26)), holes((42, 98))
    both = completer.complete(picture, left | right, eyes=TWO)
    values = np.asarray(both.image)
    assert (values[~(left | right)] == picture[~(left | right)]).all()
    assert [eyes.left_x for eyes in both.eyes] == [20, 92] and not both.notices
    for hole, eyes, number in ((left, TWO[:4], 0), (right, TWO[4:], 1)):
        alone = completer.complete(picture, hole, eyes=TWO)
        assert alone.eyes == both.eyes[number : number + 1]
        given = completer.complete(picture, hole, eyes=eyes)
        assert (np.asarray(alone.image) == np.asarray(given.image)).all()
        assert (np.asarray(alone.image)[hole] != picture[hole]).any()
        if both.z is None and alone.z is not None:  # a search of both faces has no one z
            assert both.loss > alone.loss
        difference = np.abs(values[hole].astype(int) - np.asarray(alone.image)[hole])
        assert difference.max() <= 1


def test_what_lies_under_the_hole_has_no_part_in_it(completer, picture):
    hole = holes((40, 26), (80, 60))
    other = np.where(hole[:, :, None], 255 - picture, picture)
    first, second = (completer.complete(each, hole, eyes=TWO[:4]) for each in (picture, other))
    assert (np.asarray(first.image) == np.asarray(second.image)).all()
    assert first.notices == (
        "144 missing pixels lie in no face: they are filled smoothly, without the model",
    )


def test_a_face_turned_with_its_picture_is_completed_as_upright(completer, picture):
    """Rotated by a right angle, pixels stay what they are, and so does what fills them."""
    hole, last = holes((40, 26)), len(picture) - 1
    upright = completer.complete(picture, hole, eyes=TWO[:4], blend="none")
    x, y, right_x, right_y = TWO[:4]
    turned = completer.complete(
        np.rot90(picture, -1).copy(), np.rot90(hole, -1).copy(), blend="none",
        eyes=(last - y, x, last - right_y, right_x),
    )  # fmt: skip
    difference = np.abs(np.rot90(np.asarray(turned.image), 1).astype(int) - np.asarray(upright.image))
    assert difference.max() <= (6 if completer.model.latent else 2)  # a search ends a little elsewhere


def test_refusals_say_what_to_do(completer, picture, monkeypatch):
    hole = holes((80, 60))
    with pytest.raises(InputError, match=r"lies in none of its 1 faces, whose eyes are at 20,30,44,36"):
        completer.complete(picture, hole, eyes=TWO[:4])
    monkeypatch.setattr(portraits, "check_detector", lambda: None, raising=False)
    monkeypatch.setattr(finding, "check_detector", lambda: None)
    monkeypatch.setattr(portraits, "find_faces", lambda values: ())
    with pytest.raises(InputError, match=r"no face was found.*--eyes x,y,x,y"):
        completer.complete(picture, hole, align=True)
    for wrong in ({"box": (0, 0, 64, 64)}, {"mask": "lowres"}, {"mask": "full"}):
        with pytest.raises(InputError, match="cannot align faces and complete"):
            Request(align=True, **wrong)
    if completer.model.latent:
        both = holes((40, 26), (42, 98))
        with pytest.raises(InputError, match="of 2 faces at once"):
            completer.complete(picture, both, eyes=TWO, candidates=2)
        one = completer.complete(picture, holes((40, 26)), eyes=TWO, candidates=2, confidence=True)
        assert (one.confidence[~one.photograph.known] < 255).any()
    with (
        Completer(replace(completer.model, alignment=None), completer.backend) as plain,
        pytest.raises(InputError, match="does not say where it expects the eyes"),
    ):
        plain.scheduler.resolved(Request(eyes=TWO))


def test_the_faces_that_are_found_are_completed(completer, picture, monkeypatch):
    """Found where nothing of what the hole hides is seen, and reported from left to right."""
    hole, shown = holes((40, 26), (42, 98)), []
    eyes = portraits.Eyes(*TWO[4:]), portraits.Eyes(*TWO[:4])

    def find_faces(values):
        shown.append(values)
        return eyes

    monkeypatch.setattr(finding, "check_detector", lambda: None)
    monkeypatch.setattr(portraits, "find_faces", find_faces)
    other = np.where(hole[:, :, None], np.uint8(0), picture)
    found = [completer.complete(each, hole, align=True) for each in (picture, other)]
    assert (shown[0] == shown[1]).all() and (shown[0][~hole] == picture[~hole]).all()
    given = completer.complete(picture, hole, eyes=TWO)
    assert found[0].eyes == given.eyes == eyes[::-1]
    assert (np.asarray(found[0].image) == np.asarray(given.image)).all()
