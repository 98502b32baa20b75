"""The Dockerfiles are not built here; what they take from the checkout and how they begin is checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ON_JETSON = [path for path in DOCKERFILES if path.name.startswith("jetson")]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_copies_what_the_package_is_built_from(path):
    text = path.read_text()
    copied = {
        source for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for source in line.split()
    }
    assert all((ROOT / source).exists() for source in copied)
    needed = {"pyproject.toml", "README.md", "LICENSE", "edgefill", "export", "kernels"}
    assert copied - {"constraints.txt"} == needed
    assert "ORT_DISABLE_TELEMETRY=1" in text


@pytest.mark.parametrize("path", ON_JETSON, ids=lambda path: path.name)
def test_base_image_is_an_argument_that_the_page_names(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[:2] == ["ARG BASE", "FROM ${BASE}"]
    assert path.name in (ROOT / "docs" / "jetson.md").read_text()


def test_there_is_one_for_each_jetpack():
    assert [path.name for path in ON_JETSON] == ["jetson-jetpack6.Dockerfile", "jetson-jetpack7.Dockerfile"]


def test_there_is_one_for_a_processor_that_the_page_names():
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    (path,) = set(DOCKERFILES) - set(ON_JETSON)
    assert f"docker/{path.name}" in page
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[1] == "FROM ${BASE}"
