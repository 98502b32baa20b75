"""The page about gradients: its programs run, and find what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "gradients.md"


@pytest.fixture(scope="module")
def found():
    names: dict[str, object] = {}
    for program in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(program, str(PAGE), "exec"), names)
    return names


def test_solving_needs_onnx_runtime_and_scipy_alone(found, tmp_path):
    path = tmp_path / "molecule.onnx"
    path.write_bytes(found["molecule"].SerializeToString())
    solve = re.search(r"```python\n(import numpy.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
    code = f"""{solve}
import sys
class Stored:
    SerializeToString = lambda self: open({str(path)!r}, "rb").read()
start = np.random.default_rng(0).normal(size=(1, 7, 3)).astype(np.float32)
print(solve(Stored(), "places", start)[1] < 0, *({{"torch", "onnx", "edgefill"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_molecule_finds_its_least_energy(found):
    assert found["least"] == pytest.approx(-16.505, abs=2e-3)


def test_camera_finds_where_it_stands(found):
    np.testing.assert_allclose(found["pose"], found["truth"], atol=5e-3)


def test_variation_takes_most_of_the_noise(found):
    before, after = (np.square(found[name] - found["clean"]).mean() for name in ("noisy", "denoised"))
    assert after < before / 5
