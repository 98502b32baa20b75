"""What earlier builds measured is kept, whoever else builds at the same time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.recipe import Recipe, static
from tests.export.engines.conftest import tiny_graph
from tests.fakes.tensorrt import FakeTensorRT

RECIPE = Recipe("generator", "fp32", "tensorrt", static(2))
BUILDING = """
import sys
from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.recipe import Recipe, static
from pathlib import Path
from tests.export.engines.conftest import tiny_graph
from tests.fakes.tensorrt import FakeTensorRT

sys.modules["tensorrt"] = FakeTensorRT().module()
for number in range(20):
    graph = tiny_graph(number + float(sys.argv[2]))
    build_plan(graph, Recipe("generator", "fp32", "tensorrt", static(2)), timings=Path(sys.argv[1]))
"""


def timings(path) -> dict[str, float]:
    return json.loads(path.read_bytes())["timings"]


def test_builds_add_to_what_was_measured(tensorrt, tmp_path):
    path = tmp_path / "timings.cache"
    build_plan(tiny_graph(1.0), RECIPE, timings=path)
    build_plan(tiny_graph(2.0), RECIPE, timings=path)
    assert len(timings(path)) == 2
    ((_, config),) = tensorrt.arguments("build_serialized_network")[1:]
    assert len(config.cache.timings) == 2  # the second build began with what the first had measured


@pytest.mark.parametrize("before", [b"torn", b'{"sm": 86, "timings": {"other GPU": 1.0}}'])
def test_timings_that_cannot_be_used_are_replaced(tensorrt, tmp_path, before):
    path = tmp_path / "timings.cache"
    path.write_bytes(before)
    build_plan(tiny_graph(), RECIPE, timings=path)
    assert json.loads(path.read_bytes())["sm"] == 87 and len(timings(path)) == 1


def test_two_processes_keep_what_both_measured(tmp_path):
    path = tmp_path / "timings.cache"
    command = [sys.executable, "-c", BUILDING, str(path)]
    processes = [subprocess.Popen([*command, offset], stderr=subprocess.PIPE) for offset in ("0", "0.5")]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    assert len(timings(path)) == 40
    assert not list(tmp_path.glob(".*.tmp"))


def test_rtx_keeps_none(monkeypatch, tmp_path):
    fake = FakeTensorRT("1.7.1", rtx=True).install(monkeypatch)
    build_plan(
        tiny_graph(), Recipe("generator", "fp32", "rtx", static(2)), timings=tmp_path / "timings.cache"
    )
    assert fake.count("build_serialized_network") == 1 and not list(tmp_path.iterdir())
