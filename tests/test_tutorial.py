"""The tutorial: its programs run, its page shows what they say, and its figures are small."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
FOLDER, IMAGES = ROOT / "docs" / "tutorial", ROOT / "docs" / "images" / "tutorial"
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
PROGRAMS = {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.py"))}


@pytest.fixture(scope="module")
def chapters():
    """Its programs by name."""
    pytest.importorskip("matplotlib", reason="the figures are drawn by matplotlib")
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield {name: import_module(name) for name in PROGRAMS if name != "__main__"}
    for name in set(sys.modules) - before & set(PROGRAMS):
        sys.modules.pop(name, None)


def test_code_on_the_page_is_that_of_the_programs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        forms = [indent(block, " " * depth) for depth in (0, 4, 8)]
        assert any(form in source for form in forms for source in PROGRAMS.values()), block


def test_figures_are_shown_and_small():
    sizes = {path.name: path.stat().st_size for path in IMAGES.iterdir()}
    assert set(sizes) == set(re.findall(r"images/tutorial/([\w.-]+)", PAGE))
    assert all(size < (700_000 if name.endswith(".gif") else 200_000) for name, size in sizes.items())
    assert sum(sizes.values()) < 2_500_000


def test_hidden_number_is_what_the_page_says(chapters):
    module = chapters["hidden_value"]
    y = module.TWO.given(np.array([True, False]), np.array([module.X]))
    mean, deviation = re.search(r"y has the mean ([\d.]+) and the deviation ([\d.]+)", PAGE).groups()
    assert [y.mean.item(), y.covariance.item() ** 0.5] == pytest.approx([float(mean), float(deviation)])


def test_what_is_known_of_a_normal_distribution_agrees_with_its_samples(chapters):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    normal = chapters["normal"].Normal(np.array([1.0, -2.0, 0.5]), mixing @ mixing.T)
    known, at = np.array([True, False, True]), np.array([1.5, 0.0])
    y = np.linspace(-60, 60, 24_001)
    joint = normal.density(np.stack([np.full_like(y, at[0]), y, np.full_like(y, at[1])], 1))
    given = normal.given(known, at)
    np.testing.assert_allclose(joint / (joint.sum() * (y[1] - y[0])), given.density(y[:, None]), atol=1e-9)
    np.testing.assert_allclose(normal.draw(20_000, rng).mean(0), normal.mean, atol=0.1)
    assert normal.given(known, np.stack([at, at])).mean.shape == (2, 1)


def test_each_chapter_draws_its_figures(chapters, tmp_path, monkeypatch):
    # A system of 3,072 equations takes seconds: what it gives is tested at 16×16.
    monkeypatch.setattr(chapters["search"], "completed", lambda pictures, known, normal: pictures)
    monkeypatch.setattr(chapters["search"], "normal_of", lambda pictures: None)
    chapters["hidden_value"].main(tmp_path, count=20)
    chapters["pictures"].main(tmp_path, count=40, size=16)
    chapters["ring"].main(tmp_path, shown=(0, 1, 2, 3), steps=2)
    chapters["losses"].main(tmp_path, steps=3)
    chapters["search"].main(tmp_path, fitted=2, steps=4, frames=2)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in IMAGES.iterdir()}


def test_ring_is_searched_for_what_is_known(chapters):
    """With a G that is known, and no word of D's."""
    game = chapters["ring"].Game()
    game.G = lambda z: 2 * z
    way = chapters["ring"].search(game, 0.7, starts=8, steps=300, lam=0)
    assert way.shape == (300, 8, 2)
    first, last = (way[step, :, 0] - 0.7 for step in (0, -1))
    assert first.abs().max() > 0.5 and last.abs().max() < 0.02
    assert torch.equal(way[0, :, 1], way[-1, :, 1])  # nothing was asked of the other number
