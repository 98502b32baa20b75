"""The gallery page: that its figures are those that were recorded, and which part of a picture it shows."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def gallery() -> dict:
    pytest.importorskip("cv2", reason="the gallery is drawn beside OpenCV's methods")
    return runpy.run_path(str(ROOT / "docs" / "gallery.py"))


def test_the_page_is_what_was_recorded(gallery):
    page = gallery["page"](json.loads(gallery["RECORD"].read_text("utf-8")))
    assert gallery["PAGE"].read_text("utf-8") == page, "run: PYTHONPATH=. python docs/gallery.py"
    assert page.count("**photos** (bundled)") == 3
    for kind in gallery["SHOWN"]:
        assert (ROOT / "docs" / "images" / f"gallery-{kind}.jpg").is_file()


def test_the_square_with_most_of_the_hole_is_shown(gallery):
    hole = np.zeros((600, 700), bool)
    hole[50:60, 20:30] = hole[400:460, 500:580] = True
    left, top, right, bottom = gallery["_densest"](hole)
    assert right - left == bottom - top == gallery["CELL"]
    assert hole[top:bottom, left:right].sum() == 60 * 80
