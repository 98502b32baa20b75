"""The Dockerfiles are not built here; what they take from the checkout and how they begin is checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

import edgefill.cli  # noqa: F401 - registers the commands
from edgefill.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ON_JETSON = [path for path in DOCKERFILES if path.name.startswith("jetson")]
SERVE = ROOT / "docker" / "serve.Dockerfile"


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


@pytest.mark.parametrize("path", [*ON_JETSON, SERVE], ids=lambda path: path.name)
def test_base_image_is_an_argument_that_the_page_names(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert re.fullmatch(r"ARG BASE(=\S+)?", lines[0]) and lines[1] == "FROM ${BASE}"
    page = "jetson" if path.name.startswith("jetson") else "serving"
    assert path.name in (ROOT / "docs" / f"{page}.md").read_text()


def test_there_is_one_for_each_jetpack():
    assert [path.name for path in ON_JETSON] == ["jetson-jetpack6.Dockerfile", "jetson-jetpack7.Dockerfile"]


def test_there_is_one_for_a_processor_that_the_page_names():
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    (path,) = set(DOCKERFILES) - {*ON_JETSON, SERVE}
    assert f"docker/{path.name}" in page
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[1] == "FROM ${BASE}"


def test_server_in_a_container_is_nobody_and_has_options_that_there_are():
    text = (ROOT / "docker" / "serve.Dockerfile").read_text()
    assert re.search(r"^USER 65534", text, re.MULTILINE)
    unit = (ROOT / "docker" / "edgefill.service").read_text()
    options = {
        option
        for parameter in typer.main.get_command(app).commands["serve"].params
        for option in parameter.opts
    }
    started = re.findall(r"^(?:ENTRYPOINT|CMD) \[.*|^ExecStart=.*", text + unit, re.MULTILINE)
    used = {word for line in started for word in re.findall(r"--[a-z-]+", line)}
    assert used and used <= options
    assert "EDGEFILL_TOKEN" in text and "EnvironmentFile" in unit
