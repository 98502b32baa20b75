"""The facts that the doctor judges, gathered from folders and packages that are made up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edgefill import machine, surroundings


@pytest.fixture(autouse=True)
def _no_models(monkeypatch):
    """Opening those that are installed takes longer than all else here."""
    monkeypatch.setattr(surroundings, "catalogue", list)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("source", "version", "problem"),
    [
        ("__version__ = '1.2'\nprint('hello from the import')", "1.2", ""),
        ("", "", ""),
        (
            "raise ImportError('libfoo.so.1: cannot open shared object file')",
            "",
            "ImportError: libfoo.so.1: cannot",
        ),
        ("import nothing_of_the_kind", "", "ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("import sys; sys.exit(3)", "", "without a word"),
        ("import os; os.kill(os.getpid(), 11)", "", "signal 11"),
    ],
)
def test_import_is_tried_in_a_process_of_its_own(tmp_path, monkeypatch, source, version, problem):
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = surroundings.probe("broken_package")
    assert found.version == version and problem in found.problem and bool(problem) == bool(found.problem)
    assert found.installed and "broken_package" not in sys.modules


def test_import_that_hangs_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "slow_package.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(surroundings, "_PROBE_SECONDS", 0.5)
    assert "more than 0.5 s" in surroundings.probe("slow_package").problem


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.driver.inner"])
def test_package_that_is_absent_is_not_installed(module):
    assert surroundings.probe(module) == surroundings.ABSENT and not surroundings.ABSENT.installed


def test_providers_of_onnxruntime_are_listed():
    assert "CPUExecutionProvider" in surroundings.probe("onnxruntime").providers


@pytest.fixture
def installed(monkeypatch):
    """Distributions and their versions instead of those of this Python."""

    def install(**versions):
        monkeypatch.setattr(machine, "version", lambda name: versions.get(name.replace("-", "_")))

    return install


def test_package_is_described_by_its_module_and_its_distributions(tmp_path, monkeypatch, installed):
    touch(tmp_path / "some_package.py").write_text("__version__ = '7.1'")
    touch(tmp_path / "silent_package.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    installed(some_gpu="7.0", some_gpu_cu13="7.0")
    found = surroundings.package("some_package", ("some", "some-gpu"))
    assert (found.version, found.distributions, found.cuda) == ("7.1", ("some-gpu",), 13)
    installed(some="7.0")
    assert surroundings.package("silent_package", ("some", "some-gpu")) == surroundings.Package(
        "7.0", distributions=("some",)
    )


@pytest.mark.parametrize(("name", "hidden"), [("no_such_package", True), ("json", False)])
def test_tensorrt_of_the_system_matters_only_where_this_python_has_none(monkeypatch, tmp_path, name, hidden):
    monkeypatch.setattr(surroundings, "PACKAGES", {"tensorrt": (name, ())})
    monkeypatch.setattr(surroundings, "system_tensorrt", lambda: tmp_path)
    assert surroundings.look().system_tensorrt == (tmp_path if hidden else None)


def test_tensorrt_of_the_system_is_found_is_found_beside_this_python(tmp_path):
    assert surroundings.system_tensorrt(tmp_path) is None
    package = touch(tmp_path / "usr/lib/python3.10/dist-packages/tensorrt/__init__.py").parent
    assert surroundings.system_tensorrt(tmp_path) == package


def test_links_to_one_libnvinfer_are_one_and_copies_are_two(tmp_path):
    real = touch(tmp_path / "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0")
    real.with_name("libnvinfer.so.10").symlink_to(real)
    touch(real.with_name("libnvinfer_plugin.so.10"))
    elsewhere = tmp_path / "links" / "libnvinfer.so.10"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to(real)
    path = os.pathsep.join(["", str(elsewhere.parent), str(tmp_path / "nowhere")])
    assert surroundings.inference_libraries(path, [], tmp_path) == (real,)
    pip = touch(tmp_path / "site-packages/tensorrt_libs/libnvinfer.so.10")
    both = surroundings.inference_libraries(path, [str(tmp_path / "site-packages")], tmp_path)
    assert set(both) == {real, pip}


def test_cuda_h_is_looked_for_where_a_compiler_would(tmp_path):
    assert surroundings.cuda_header({}, [], tmp_path) is None
    wheel = touch(tmp_path / "site-packages/nvidia/cuda_runtime/include/cuda.h")
    packages = [str(tmp_path / "site-packages")]
    assert surroundings.cuda_header({}, packages, tmp_path) == wheel
    toolkit = touch(tmp_path / "usr/local/cuda-12.6/include/cuda.h")
    assert surroundings.cuda_header({}, packages, tmp_path) == toolkit
    home = touch(tmp_path / "opt/cuda/include/cuda.h")
    assert surroundings.cuda_header({"CUDA_HOME": str(tmp_path / "opt/cuda")}, packages, tmp_path) == home
    assert surroundings.cuda_header({"CPATH": f"{wheel.parent}"}, [], tmp_path) == wheel


def test_architectures_of_the_kernels_are_those_of_their_files(tmp_path):
    assert surroundings.cubins(tmp_path / "compiled") == ()
    for name in ("kernels.sm_90.cubin", "kernels.sm_87.cubin", "kernels.ptx", "report.json"):
        touch(tmp_path / "compiled" / name)
    assert surroundings.cubins(tmp_path / "compiled") == (87, 90)


def test_cache_that_is_not_there_yet_is_writable_where_it_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "a" / "b"))
    monkeypatch.setattr(surroundings, "PACKAGES", {"tensorrt": ("no_such_package", ())})
    around = surroundings.look()
    assert around.cache == tmp_path / "a" / "b" and around.cache_writable and around.engines_mode is None
    assert around.variables["EDGEFILL_CACHE_DIR"] == str(around.cache)
    (around.cache / "engines").mkdir(parents=True, mode=0o700)
    assert surroundings.look().engines_mode == 0o700
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(touch(tmp_path / "file") / "cache"))
    assert not surroundings.look().cache_writable


def test_token_is_not_shown(monkeypatch):
    monkeypatch.setenv("EDGEFILL_TOKEN", "s3cret")
    monkeypatch.setattr(surroundings, "package", lambda *_: surroundings.ABSENT)
    assert surroundings.look().variables["EDGEFILL_TOKEN"] == "set"
