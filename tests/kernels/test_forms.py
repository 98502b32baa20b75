from __future__ import annotations

import hashlib
import re
import shutil
from importlib import resources
from pathlib import Path

import pytest

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.kernels.arguments import COMPOSE, SEARCH
from edgefill.kernels.arguments import LOOP as LOOP_STRUCT
from edgefill.kernels.compile import COMPILED, HEADER, read_sources
from edgefill.kernels.forms import CUBINS, LOOP, form_for, ptx_name, report, shipped
from edgefill.kernels.solvers import SHIPPED

KERNELS = {solver.kernel(): solver.struct(SEARCH).dtype for solver in SHIPPED} | {"compose": COMPOSE.dtype}


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The compiled forms in a folder that a test may damage."""
    folder = tmp_path / "compiled"
    shutil.copytree(COMPILED, folder)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    return folder


@pytest.mark.parametrize("sm", CUBINS)
def test_a_gpu_gets_the_machine_code_of_its_own(sm):
    name, image = form_for(sm)
    assert name == f"sm_{sm}.cubin" and image.startswith(b"\x7fELF")
    assert image[48] == sm, "ELF's flags name the architecture"
    assert all(kernel.encode() in image for kernel in KERNELS)
    assert b"cudaGraphSetConditional" not in image, "which older drivers do not have"


@pytest.mark.parametrize("sm", [88, 100, 103, 110, 120, 121])
def test_another_or_newer_gpu_gets_the_ptx(sm):
    name, image = form_for(sm)
    assert name == "compute_75.ptx" and b".target sm_75" in image and b"\0" not in image


def test_an_older_gpu_is_told_so():
    with pytest.raises(BackendUnavailable, match=r"no form for sm_72; .*sm_75.*--backend cpu"):
        form_for(72)


@pytest.mark.parametrize(
    ("name", "structs"), [(ptx_name(), KERNELS), (LOOP, {"search_again": LOOP_STRUCT.dtype})]
)
def test_every_driver_of_cuda_12_reads_the_ptx_and_its_parameters_are_the_structs(name, structs):
    ptx = shipped(name).decode()
    asked_of_the_driver = re.findall(r"\.extern \.func (\w+)", ptx)
    assert asked_of_the_driver == (["cudaGraphSetConditional"] if name == LOOP else [])
    major, minor = map(int, re.search(r"^\.version (\d+)\.(\d+)$", ptx, re.MULTILINE).groups())
    assert (major, minor) <= (8, 0)
    entries = re.findall(r"\.entry (\w+)\(\s*\.param \.align 8 \.b8 \w+\[(\d+)\]\s*\)", ptx)
    assert {name: int(size) for name, size in entries} == {
        name: struct.itemsize for name, struct in structs.items()
    }


def test_every_operation_is_rounded_by_itself_so_that_the_driver_fuses_none():
    ptx = form_for(120)[1].decode()
    roundings = set(re.findall(r"\b((?:add|sub|mul|div|sqrt|fma)\.[a-z.]*f32)", ptx))
    of_expf = {"fma.rm.f32", "fma.rn.f32"}
    assert roundings - of_expf == {f"{name}.rn.f32" for name in ("add", "sub", "mul", "div", "sqrt")}
    assert not re.search(r"\bfma", re.sub(r"(?s)\.entry hmc_step\(.*?\n}", "", ptx))


@pytest.mark.parametrize("sm", CUBINS)
def test_no_kernel_spills_and_many_blocks_fit(sm):
    kernels = report()["forms"][f"sm_{sm}.cubin"]["kernels"]
    assert kernels.keys() == KERNELS.keys()
    for said in kernels.values():
        assert 0 < said["registers"] <= 64 and said["spilled_bytes"] == said["stack_bytes"] == 0
        assert said["shared_bytes"] <= 384


def test_the_forms_were_made_of_these_sources():
    sources = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in read_sources().items()}
    assert report()["sources"] == sources, "run make kernels"
    there = {path.name for path in COMPILED.parent.rglob("*.cu*")} - {
        path.name for path in COMPILED.glob("*.cubin")
    }
    assert set(read_sources()) == there and (COMPILED / HEADER).read_text() == read_sources()[HEADER]


@pytest.mark.parametrize("name", ["sm_86.cubin", ptx_name()])
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has sha256"),
        (lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), "has sha256"),
        (lambda path: path.write_bytes(b""), "has sha256"),
        (lambda path: (path.parent / "report.json").unlink(), "report.json cannot be read"),
        (lambda path: (path.parent / "report.json").write_bytes(b"{"), "report.json is not JSON"),
        (lambda path: (path.parent / "report.json").write_bytes(b"[]"), "report.json does not list"),
    ],
)
def test_a_damaged_form_is_never_loaded(copied, name, damage, found):
    sm = 86 if name.endswith("cubin") else 120
    assert form_for(sm)[0] == name
    damage(copied / name)
    with pytest.raises(EngineError, match=f"{found}.*pip install --force-reinstall"):
        form_for(sm)
