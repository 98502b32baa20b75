"""From a photograph to what is downloaded: completing, comparing, refining, and what can go wrong."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest

from tests.serve.page.conftest import desk_at, gradient
from tests.serve.serving import PATIENT, Gate, running, until, waiting_model

STROKE = [(0.45, 0.5), (0.55, 0.5)]


def test_known_pixels_of_what_is_downloaded_are_the_originals(desk, photograph):
    desk.open(photograph, "faces64-glcic")
    assert desk.page.is_disabled("#complete")
    desk.paint(*STROKE)
    mask = desk.mask()
    desk.complete()
    completed = desk.saved("#download")
    assert np.array_equal(completed[~mask], gradient(200, 300)[~mask])
    assert not np.array_equal(completed, gradient(200, 300))


def changed(desk, before) -> bool:
    return desk.colour(0.5, 0.5) != before


def test_search_is_seen_and_gives_candidates_and_doubt(browser, drawing, photograph):
    for desk in desk_at(browser, drawing.url, viewport={"width": 1200, "height": 800}):
        desk.open(photograph)
        desk.paint(*STROKE)
        desk.page.fill("#candidates", "3")
        desk.page.check("#confidence", force=True)
        with desk.page.expect_response(lambda answer: answer.url.endswith("/events")):
            desk.complete()
        assert desk.page.locator("#thumbs button").count() >= 2
        assert "sure" in desk.page.text_content("#about")
        before = desk.colour(0.5, 0.5)
        desk.page.check("#sure", force=True)
        until(partial(changed, desk, before))
        desk.page.focus("#thumbs [aria-checked=true]")
        desk.press("ArrowRight")
        chosen = desk.page.locator("#thumbs [aria-checked=true]")
        assert chosen.get_attribute("aria-label") in ("The mask", "Candidate 2")


def test_before_and_after(desk, photograph):
    desk.open(photograph, "faces64-glcic")
    original = desk.colour(0.48, 0.5)
    desk.press("r")
    desk.paint((0.4, 0.4), (0.6, 0.6))
    desk.complete()
    completed = desk.colour(0.48, 0.5)
    assert completed != original
    desk.page.check("#compare", force=True)
    desk.page.fill("#split", "900")
    until(lambda: desk.colour(0.48, 0.5) == original)
    desk.page.fill("#split", "100")
    until(lambda: desk.colour(0.48, 0.5) == completed)


def test_result_is_refined_and_the_original_comes_back(desk, photograph):
    desk.open(photograph, "faces64-glcic")
    desk.paint(*STROKE)
    first = desk.mask()
    desk.complete()
    desk.page.click("#refine")
    desk.page.wait_for_selector("#original", state="visible")
    assert not desk.mask().any()
    desk.paint((0.5, 0.3), (0.5, 0.35))
    second = desk.mask()
    desk.complete()
    twice = desk.saved("#download")
    kept = ~(first | second)
    assert np.array_equal(twice[kept], gradient(200, 300)[kept])
    desk.page.click("#original")
    desk.page.wait_for_selector("#original", state="hidden")
    assert desk.page.is_disabled("#download")


def test_painting_again_shows_the_mask_again(desk, photograph):
    desk.open(photograph, "faces64-glcic")
    desk.paint(*STROKE)
    desk.complete()
    assert desk.page.get_attribute("#thumbs [aria-checked=true]", "aria-label") == "The result"
    desk.paint((0.5, 0.6), (0.5, 0.65))
    assert desk.page.get_attribute("#thumbs [aria-checked=true]", "aria-label") == "The mask"
    assert desk.page.text_content("#complete") == "Complete again"


def test_file_that_is_no_picture_is_said(desk, tmp_path):
    desk.open()
    (tmp_path / "letter.png").write_bytes(b"Dear server")
    desk.page.set_input_files("#file-picture", tmp_path / "letter.png")
    desk.page.wait_for_selector("#notice", state="visible")
    assert "letter.png cannot be opened" in desk.page.text_content("#notice-text")


def test_problem_of_the_server_is_read_out(browser, photograph):
    with running(waiting_model(), dataclasses.replace(PATIENT, pixels=1000)) as answering:
        for desk in desk_at(browser, answering.url):
            desk.open(photograph)
            desk.paint(*STROKE)
            desk.page.click("#complete")
            desk.page.wait_for_selector("#notice", state="visible")
            assert "expected between 1 and 1,000" in desk.page.text_content("#notice-text")
            assert desk.page.is_enabled("#complete")
            desk.wrong = [each for each in desk.wrong if "422" not in each]  # the browser's own line


def test_stopped_job_ends_on_the_server_too(browser, photograph):
    gate = Gate()
    with running(waiting_model(gate)) as answering:
        for desk in desk_at(browser, answering.url):
            desk.open(photograph)
            desk.paint(*STROKE)
            desk.page.click("#complete")
            assert gate.reached.wait(120)
            desk.page.click("#stop")
            desk.page.wait_for_selector("#progress", state="hidden")
            assert desk.page.is_hidden("#notice")
        gate.open()
        scheduler = answering.service.models.first.scheduler
        assert scheduler.drain(120) and scheduler.load.finished == {"cancelled": 1}


def test_token_is_asked_for_once(browser, photograph):
    with running(waiting_model(), token="s3cret") as answering:
        for desk in desk_at(browser, answering.url):
            desk.page.goto(answering.url)
            desk.page.fill("#token", "s3cret")
            desk.press("Enter")
            desk.page.wait_for_selector("#model option", state="attached")
            desk.page.reload()
            desk.page.wait_for_selector("#model option", state="attached")
            desk.open(photograph)
            desk.paint(*STROKE)
            desk.complete()
            desk.wrong = [each for each in desk.wrong if "401" not in each]


@pytest.mark.parametrize(
    ("width", "height"), [(320, 568), (390, 780), (820, 1180), (1200, 800), (1920, 1080)]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_screen_and_everything_has_a_name(browser, server, photograph, width, height, scheme):
    viewport = {"width": width, "height": height}
    for desk in desk_at(browser, server.url, viewport=viewport, color_scheme=scheme):
        desk.open(photograph, "faces64-glcic")
        assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tools = desk.page.locator(".tools").bounding_box()
        assert tools["x"] >= 0 and tools["x"] + tools["width"] <= width
        nameless = desk.page.evaluate(
            """() => [...document.querySelectorAll("button, input:not([type=file]), select")]
              .filter((each) => !each.textContent.trim() && !each.labels?.length && !each.ariaLabel)
              .map((each) => each.id)"""
        )
        assert nameless == []
        stage = desk.page.locator("#view").bounding_box()
        assert stage["height"] > 0.4 * height
