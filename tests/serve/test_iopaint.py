"""What IOPaint's clients send is understood, and answered as they expect it."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from tests.serve.serving import decoded, hole, picture, png


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_png_comes_back_with_the_seed(server, prefix):
    body = {"image": prefix + text(png(picture())), "mask": prefix + text(png(hole())), "sd_seed": 42,
            "ldm_steps": 20, "prompt": "", "hd_strategy": "Crop"}  # fmt: skip
    answer = server.client.post("/api/v1/inpaint", json=body)
    assert answer.status_code == 200
    assert (answer.headers["content-type"], answer.headers["x-seed"]) == ("image/png", "42")
    completed = decoded(answer.content)
    assert np.array_equal(completed[hole() == 0], picture()[hole() == 0])


def test_seed_of_minus_one_is_any(server):
    body = {"image": text(png(picture())), "mask": text(png(hole())), "sd_seed": -1}
    assert server.client.post("/api/v1/inpaint", json=body).headers["x-seed"] == "0"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1]", 400),
        (b"[" * 100_000, 400),
        (b'{"image": 3, "mask": 4}', 400),
        (b'{"image": "%%%%", "mask": "AAAA"}', 400),
        (b'{"image": "AAAA", "mask": "AAAA"}', 422),
        (b'{"image": "\\ud800", "mask": "AAAA"}', 400),
        (b"\xff\xfe\x00", 400),
    ],
)
def test_what_is_no_request(server, content, status):
    answer = server.client.post("/api/v1/inpaint", content=content)
    assert answer.status_code == answer.json()["status"] == status


def test_mask_of_another_size_is_refused(server):
    body = {"image": text(png(picture())), "mask": text(png(hole(9, 9)))}
    assert server.client.post("/api/v1/inpaint", json=body).status_code == 422
