"""The page in a browser: Chromium as the system brings it, cut off from every other host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright and Chromium: make test-page")

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The browser's program, or None."""
    named = os.environ.get("EDGEFILL_CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine: make test-page installs it")
    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", rules])
        yield browser
        browser.close()


class Desk:
    """The page as somebody uses it."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []  # of the console, and requests to elsewhere
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        page.on("request", lambda asked: self._check(asked.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "blob:", "data:")):
            self.wrong.append(f"asked for {url}")

    def open(self, picture: Path | None = None, model: str = "") -> None:
        if self.page.url == "about:blank":
            self.page.goto(self.url)
            self.page.wait_for_selector("#model option", state="attached")
        if model:
            self.page.eval_on_selector(
                "#model",
                "(each, name) => { each.value = name; each.dispatchEvent(new Event('change')) }",
                model,
            )
        if picture:
            before = self.page.text_content("#file")
            self.page.set_input_files("#file-picture", picture)
            self.page.wait_for_function(
                "before => document.getElementById('file').textContent !== before", arg=before
            )

    def at(self, across: float, down: float) -> tuple[float, float]:
        """A place on the stage, by shares of its size."""
        box = self.page.locator("#view").bounding_box()
        return box["x"] + box["width"] * across, box["y"] + box["height"] * down

    def paint(self, *places: tuple[float, float]) -> None:
        """A stroke of the mouse through ``places``."""
        mouse = self.page.mouse
        mouse.move(*self.at(*places[0]))
        mouse.down()
        for place in places[1:]:
            mouse.move(*self.at(*place), steps=4)
        mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def complete(self) -> None:
        self.page.click("#complete")
        self.wait_for_result()

    def wait_for_result(self) -> None:
        self.page.wait_for_function(
            "() => document.querySelector('#thumbs [aria-checked=true]')"
            " && document.getElementById('progress').hidden"
        )

    def saved(self, button: str) -> np.ndarray:
        """The picture that ``button`` downloads."""
        with self.page.expect_download() as download:
            self.page.eval_on_selector(button, "each => each.click()")
        with Image.open(download.value.path()) as image:
            return np.asarray(image)

    def mask(self) -> np.ndarray:
        """What is painted, bool [H, W]; False everywhere where the page says that it is nothing."""
        if self.page.is_disabled("#save-mask"):
            return np.zeros((1, 1), bool)
        mask = self.saved("#save-mask")
        assert mask.dtype == np.bool_
        return mask

    def colour(self, across: float, down: float) -> list[int]:
        """What the stage shows at a place, once all that was asked for is drawn: red, green and blue."""
        return self.page.evaluate(
            """async ([across, down]) => {
              const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
              await frame();
              await frame();
              const canvas = document.getElementById("view");
              const at = [Math.round(canvas.width * across), Math.round(canvas.height * down), 1, 1];
              return [...canvas.getContext("2d").getImageData(...at).data].slice(0, 3);
            }""",
            [across, down],
        )


@pytest.fixture
def desk(browser, server) -> Iterator[Desk]:
    """A page at a large screen."""
    yield from desk_at(browser, server.url, viewport={"width": 1200, "height": 800})


def desk_at(browser, url: str, **options) -> Iterator[Desk]:
    """A page in a window of its own; nothing may have gone wrong in it at the end."""
    context = browser.new_context(accept_downloads=True, **options)
    context.set_default_timeout(60_000)
    desk = Desk(context.new_page(), url)
    yield desk
    context.close()
    assert desk.wrong == []


@pytest.fixture(scope="session")
def photograph(tmp_path_factory) -> Path:
    """A photograph of nothing: 300×200, colours that run from corner to corner."""
    return write(tmp_path_factory.mktemp("pictures") / "nothing.png", 200, 300)


def write(path: Path, height: int, width: int, **options) -> Path:
    Image.fromarray(gradient(height, width)).save(path, **options)
    return path


def gradient(height: int, width: int) -> np.ndarray:
    down, across = np.mgrid[0:height, 0:width]
    bands = [255 * across / width, 255 * down / height, 255 - 255 * across / width]
    return np.stack(bands, axis=2).astype(np.uint8)
