"""A picture and a mask in, the completed picture out; and everything that can be wrong with them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.serve.serving import PASS, SEARCH, decoded, hole, parts, picture, png


@pytest.mark.parametrize("model", [SEARCH, PASS])
def test_what_the_mask_leaves_stays_to_the_bit(server, model):
    answer = server.complete(model=model)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-edgefill-model"] == model
    completed, known = decoded(answer.content), hole() == 0
    assert np.array_equal(completed[known], picture()[known])
    assert not np.array_equal(completed, picture())


def test_the_first_model_is_taken_where_none_is_named(server):
    assert server.complete().headers["x-edgefill-model"] == SEARCH


def test_document_has_candidates_confidence_steps_and_seconds(drawing):
    form = parts(candidates=3, confidence="true", seed=7)
    answer = drawing.client.post("/v1/complete", headers={"Accept": "application/json"}, **form)
    document = answer.json()
    assert document["id"] == answer.headers["x-request-id"]
    assert document["steps"] > 0 and document["seconds"] > 0 and document["ended"]
    assert (document["width"], document["height"]) == (48, 40)
    shown = [decoded(base64.b64decode(each["picture"])) for each in document["candidates"]]
    assert all(each.shape == (40, 48, 3) for each in shown) and 1 <= len(shown) <= 3
    confidence = decoded(base64.b64decode(document["confidence"]))
    assert confidence.shape == (40, 48) and (confidence[hole() == 0] == 255).all()
    assert 0 <= document["confidence_mean"] <= 1


def test_the_same_seed_gives_the_same_bytes(server):
    first, second = (server.complete(model=SEARCH, seed=3, start="random", steps=4) for _ in range(2))
    assert first.content == second.content
    assert first.content != server.complete(model=SEARCH, seed=4, start="random", steps=4).content


@pytest.mark.parametrize(
    ("format", "media_type"), [("webp", "image/webp"), ("tiff", "image/tiff"), ("jpeg", "image/jpeg")]
)
def test_answer_has_the_format_that_is_asked_for(server, format, media_type):
    answer = server.complete(model=PASS, format=format)
    assert answer.headers["content-type"] == media_type
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == format.upper()


def test_picture_is_turned_upright_and_keeps_its_alpha(server):
    values = np.dstack([picture(), np.full((40, 48), 99, np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = 6
    completed = decoded(server.complete(picture=png(values, exif=exif), mask=png(hole(48, 40))).content)
    assert completed.shape == (48, 40, 4)
    assert (completed[:, :, 3][hole(48, 40) == 0] == 99).all()


def test_masks_that_are_drawn(server):
    completed = decoded(server.complete(model=PASS, mask="center").content)
    assert np.array_equal(completed[0], picture()[0])
    transparent = np.dstack([picture(), 255 - hole()])
    completed = decoded(server.complete(model=PASS, picture=png(transparent), mask="alpha").content)
    assert (completed[:, :, 3] == 255).all()


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"mask": "/etc/passwd"}, "there is no mask"),
        ({"mask": "file"}, "there is no mask"),
        ({"mask": ""}, "there is no mask"),
        ({"mask": "center:7"}, "its scale is '7'"),
        ({"picture": b""}, "the picture"),
        ({"picture": b"GIF89a"}, "the picture"),
        ({"mask": b"no picture"}, "the mask"),
        ({"mask": png(hole(10, 10))}, "expected the picture's 48×40"),
        ({"seed": "-1"}, "seed is '-1'"),
        ({"seed": "9" * 30}, "seed is"),
        ({"seeds": "1"}, "did you mean 'seed'?"),
        ({"steps": "nan"}, "steps is 'nan'"),
        ({"seconds": "nan"}, "seconds is 'nan'"),
        ({"seconds": "0"}, "seconds is '0'"),
        ({"lam": "inf"}, "lam is 'inf'"),
        ({"box": "1,2,3"}, "the box '1,2,3'"),
        ({"box": "0,0,4000,4000"}, "pixels"),
        ({"format": "exe"}, "format is 'exe'"),
        ({"candidates": "17"}, "candidates is '17'"),
        ({"start": "best-of:100000"}, "with starts 100000"),
        ({"start": "best-of:65"}, "expected 64 at most"),
        ({"until": "ms:x"}, "until 'ms:x'"),
        ({"model": PASS, "candidates": "2"}, "candidates cannot be asked of it"),
        ({"model": PASS, "steps": "5"}, "settings of a search"),
        ({"confidence": "maybe"}, "expected true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_problem_that_says_why(server, form, says):
    answer = server.complete(**form)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code == 422
    assert says in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "/tmp" not in answer.text and "Traceback" not in answer.text and 'File "' not in answer.text


def test_unknown_model_lists_those_there_are(server):
    answer = server.complete(model="lama")
    assert answer.status_code == 404
    assert f"{SEARCH}, {PASS}" in answer.json()["detail"]


def test_bomb_is_refused_by_its_header(server):
    bomb = png(np.zeros((1, 1), np.uint8))
    header = bytearray(bomb)
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    answer = server.complete(picture=bytes(header))
    assert answer.status_code == 422


def test_truncated_picture_is_a_problem_of_its_own(server):
    for share in (0.2, 0.6, 0.95):
        content = png(picture())
        answer = server.complete(picture=content[: int(len(content) * share)])
        assert answer.status_code == 422, share
