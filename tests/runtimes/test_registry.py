"""One row for each runtime: what the command line, the extras and the doctor say comes from there."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from edgefill.cli import bench, build, complete, sample
from edgefill.errors import BackendUnavailable
from edgefill.runtimes.registry import BACKENDS, LIBRARIES, ROWS, choice, for_the_host, row_of
from edgefill.surroundings import PACKAGES

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def _brought(name):
    """The packages of an extra, and of those that it is made of."""
    (extra,) = re.findall(rf"^{name} = \[(.*)\]", PROJECT.read_text(), re.MULTILINE)
    within = re.findall(r'"edgefill\[([\w-]+)\]"', extra)
    return set(re.findall(r'"([\w-]+)', extra)).union(*map(_brought, within))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_extra_of_each_brings_its_package(row):
    brought = _brought(row.extra)
    _, distributions = PACKAGES[row.package]
    assert brought & set(distributions), "doctor looks for what the extra installs"
    assert ("pycuda" in brought) == row.on_device


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_home_of_each_opens_it(row):
    home = import_module(row.home)
    opens = home.open_executor if row.on_device else home.open_runtime
    wanted = {"engines", "say"} if row.on_device else {"precision", "threads"}
    assert wanted <= set(inspect.signature(opens).parameters)


@pytest.mark.parametrize("command", [complete.complete, bench.bench, sample.sample])
def test_the_help_names_them_all(command):
    (option,) = get_args(get_type_hints(command, include_extras=True)["backend"])[1:]
    assert option.help == "auto, tensorrt, rtx, cuda, openvino or cpu."


def test_the_help_of_build_names_those_that_build():
    (option,) = get_args(get_type_hints(build.build, include_extras=True)["library"])[1:]
    assert option.help.startswith(f"{choice(LIBRARIES)}.") and choice(LIBRARIES) == "tensorrt or rtx"


def test_what_is_quickest_for_a_network_of_one_size_comes_first_and_the_others_after():
    assert [row.name for row in for_the_host(one_size=True)] == ["openvino", "cpu"]
    assert [row.name for row in for_the_host(one_size=False)] == ["cpu", "openvino"]


def test_names_are_found_and_others_are_not():
    assert all(row_of(row.name) is row for row in ROWS) and len(set(BACKENDS)) == len(ROWS) + 1
    with pytest.raises(BackendUnavailable, match="no backend 'vulkan'; expected one of auto, tensorrt, rtx"):
        row_of("vulkan")
