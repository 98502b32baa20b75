"""What an error tells to install can be installed from where this edgefill came from."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edgefill import extras
from edgefill.surroundings import PACKAGES

_PYPROJECT = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8")
_EXTRAS = re.findall(
    r"^([a-z-]+) = \[",
    _PYPROJECT.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0],
    re.MULTILINE,
)


def test_checkout_is_named_by_its_path():
    words = shlex.split(extras.install_line("train"))
    place, extra = re.fullmatch(r"(.*)\[(.*)\]", words[-1]).groups()
    assert words[:2] == ["pip", "install"]
    assert (Path(place) / "pyproject.toml").is_file()
    assert extra in _EXTRAS


def test_wheel_names_what_the_extra_consists_of(monkeypatch, tmp_path):
    metadata = [
        "numpy>=1.26",
        "edgefill[rtx-build]; extra == 'rtx'",
        'tensorrt-rtx>=1.7; extra == "rtx-build"',
        'pycuda>=2024.1; platform_system == "Linux" and extra == "rtx"',
    ]
    monkeypatch.setattr(extras, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(extras, "requires", lambda _: metadata)
    assert extras.install_line("rtx") == "pip install 'tensorrt-rtx>=1.7' 'pycuda>=2024.1'"


def test_building_engines_needs_no_compiler():
    assert "rtx-build" in _EXTRAS
    (line,) = re.findall(r"^rtx-build = (.*\])", _PYPROJECT, re.MULTILINE)
    assert "pycuda" not in line


@pytest.mark.parametrize("word", re.findall(r"install_line\(['\"]([a-z-]+)['\"]\)", "".join(
    path.read_text("utf-8") for room in ("edgefill", "export", "kernels")
    for path in (Path(__file__).resolve().parents[1] / room).rglob("*.py"))))  # fmt: skip
def test_extra_that_is_named_exists(word):
    assert word in _EXTRAS


def test_the_doctor_knows_every_extra_that_users_install():
    runtimes = {"cpu", "rtx", "rtx-build", "tensorrt", "openvino", "gpu"}  # each a backend's
    made_of_others = {"export", "bench", "dev", "page", "demo"}
    assert set(_EXTRAS) == {*extras.EXTRAS, *runtimes, *made_of_others}
    assert {name for extra in extras.EXTRAS.values() for name in extra.packages} <= set(PACKAGES)
