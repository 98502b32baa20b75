from __future__ import annotations

import importlib.util
import locale
import os
import shutil
import subprocess
import sys

import pytest

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.kernels import compile as compiling
from edgefill.kernels import nvrtc
from edgefill.kernels.forms import report

needs_nvrtc = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="NVRTC 12.0 comes for x86-64 Linux only"
)


@needs_nvrtc
def test_the_forms_that_ship_are_what_the_sources_give_wherever_they_are_built(tmp_path):
    """In another process, in another folder and at another time: the same bytes."""
    command = [sys.executable, "-m", "edgefill.kernels.compile", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_nvrtc
def test_a_changed_source_is_noticed_and_named(tmp_path, monkeypatch):
    sources = compiling.read_sources()
    changed = {**sources, "adam.cu": sources["adam.cu"].replace("here - step", "here + step")}
    monkeypatch.setattr(compiling, "read_sources", lambda: changed)
    files = compiling.build()
    forms = sorted(files.keys() - {compiling.HEADER, compiling.LOOP})  # of which it is no part
    assert forms and compiling.differences(files) == [f"{name} differs" for name in forms]


@needs_nvrtc
def test_a_source_that_does_not_compile_says_why(monkeypatch):
    monkeypatch.setattr(
        compiling, "read_sources", lambda: {"adam.cu": "__global__ void adam() { nonsense; }"}
    )
    with pytest.raises(EngineError, match=r"(?s)sm_75.*nonsense"):
        compiling.build()


def test_absent_and_unknown_files_are_named(tmp_path):
    folder = tmp_path / "compiled"
    shutil.copytree(compiling.COMPILED, folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert compiling.differences(files, folder) == []
    (folder / "sm_80.cubin").unlink()
    (folder / "sm_70.cubin").write_bytes(b"old")
    assert compiling.differences(files, folder) == [
        "sm_70.cubin is no form of the sources",
        "sm_80.cubin is absent",
    ]
    assert len(compiling.differences(files, tmp_path / "nowhere")) == len(report()["forms"]) + 2


def test_without_the_compiler_its_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'nvidia-cuda-nvrtc-cu12==12\.0\.\*'"):
        nvrtc.Nvrtc()


@needs_nvrtc
def test_another_compiler_is_refused_before_it_writes_a_ptx_that_old_drivers_cannot_read(monkeypatch):
    monkeypatch.setattr(nvrtc, "VERSION", (11, 8))
    with pytest.raises(BackendUnavailable, match=r"this NVRTC is 12\.0"):
        nvrtc.Nvrtc()
    with pytest.raises(EngineError, match=r"ISA \(8, 1\)"):
        compiling._isa(b"//\n.version 8.1\n.target sm_75\n")


@needs_nvrtc
def test_compiling_leaves_the_locale_as_it_was():
    before = locale.getpreferredencoding(False)
    compiling.build()
    assert locale.getpreferredencoding(False) == before
