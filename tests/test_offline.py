"""Nothing leaves the machine that has the picture: no process of edgefill opens a socket or writes an id."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bundles import tiny_bundle, tiny_one_pass

_ROOT = Path(__file__).resolve().parents[1]
_COMPLETES = """
import edgefill
with edgefill.load({model!r}, "cpu") as completer:
    completer.complete({picture!r}, mask="center")
"""
_PIPELINE = re.search(r"```python\n(import os\n.*?)```", (_ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def environment(home):
    """That of a user who has set nothing, at home in an empty folder."""
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PYTHONDONTWRITEBYTECODE": "1"}


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _watched(command: list[str], log: Path, environment, folder: Path) -> list[str]:
    """The network calls of ``command`` and of its children; where strace is absent it is only run."""
    strace = shutil.which("strace")
    traced = [strace, "-f", "-qq", "-e", "trace=%network", "-o", str(log)] if strace else []
    done = subprocess.run(
        [*traced, *command], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text().splitlines() if strace else []
    return [call for call in calls if "AF_INET" in call]


@pytest.mark.parametrize("kind", ["search", "one pass"])
def test_completing_writes_nothing_at_home_and_opens_no_socket(kind, tmp_path, home, environment):
    model, picture = tmp_path / "m.edgefill", tmp_path / "p.png"
    model.write_bytes(tiny_bundle() if kind == "search" else tiny_one_pass())
    Image.fromarray(np.full((16, 16), 99, np.uint8)).save(picture)
    code = _COMPLETES.format(model=str(model), picture=str(picture))
    assert _watched([sys.executable, "-c", code], tmp_path / "log", environment, _ROOT) == []
    assert _files_below(home) == []


@pytest.mark.parametrize(
    "first", ["edgefill.export.proof", "edgefill.bench", "edgefill.export.importing", "benchmarks", "tests"]
)
def test_whatever_of_ours_loads_the_runtime_has_silenced_it(first, tmp_path, home, environment):
    code = f"import {first}, onnxruntime"
    assert _watched([sys.executable, "-c", code], tmp_path / "log", environment, _ROOT) == []
    assert _files_below(home) == []


def test_what_the_readme_tells_users_of_a_pipeline_keeps_silent(tmp_path, home, environment):
    assert _PIPELINE is not None
    imports = _PIPELINE[1].split("session =")[0]
    assert _watched([sys.executable, "-c", imports], tmp_path / "log", environment, tmp_path) == []
    assert _files_below(home) == []


def test_the_runtime_alone_writes_an_id_which_is_why(tmp_path, home, environment):
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env=environment, cwd=tmp_path, check=True)
    if not _files_below(home):
        pytest.skip("this ONNX Runtime has no telemetry")
    assert any("onnxruntime" in str(path) for path in _files_below(home))
