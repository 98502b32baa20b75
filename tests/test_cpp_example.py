"""The C++ example of the pipeline compiles: with ONNX Runtime's headers where they are, else a stand-in's.

ORT_ROOT names an unpacked release of ONNX Runtime; with it the example is also linked and run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

_ROOT = Path(__file__).resolve().parents[1]
_EXAMPLE = _ROOT / "docs" / "examples" / "pipeline.cpp"
_RELEASE = os.environ.get("ORT_ROOT")
_COMPILER = shutil.which("g++") or shutil.which("c++")
needs_compiler = pytest.mark.skipif(_COMPILER is None, reason="needs a C++ compiler")


@needs_compiler
def test_example_compiles():
    headers = Path(_RELEASE) / "include" if _RELEASE else _ROOT / "tests" / "fakes" / "include"
    command = [_COMPILER, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-isystem", headers]
    done = subprocess.run([*command, _EXAMPLE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_compiler
@pytest.mark.skipif(not _RELEASE, reason="needs ORT_ROOT, a release of ONNX Runtime with its library")
def test_example_completes_what_the_pipeline_completes(tmp_path):
    from edgefill.export.pipeline import export_pipeline
    from edgefill.model.bundle import Bundle
    from tests.bundles import tiny_one_pass

    (tmp_path / "m.edgefill").write_bytes(tiny_one_pass(3))
    export_pipeline(Bundle.open(tmp_path / "m.edgefill"), tmp_path / "m.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:20] = 255
    (tmp_path / "p.ppm").write_bytes(b"P6\n40 30\n255\n" + picture.tobytes())
    (tmp_path / "m.pgm").write_bytes(b"P5\n40 30\n255\n" + mask.tobytes())
    library, program = Path(_RELEASE) / "lib", tmp_path / "pipeline"
    command = [_COMPILER, "-std=c++17", _EXAMPLE, "-I", Path(_RELEASE) / "include", "-L", library]
    subprocess.run([*command, "-lonnxruntime", f"-Wl,-rpath,{library}", "-o", program], check=True)
    subprocess.run([program, "m.onnx", "p.ppm", "m.pgm", "out.ppm"], cwd=tmp_path, check=True)
    completed = np.frombuffer((tmp_path / "out.ppm").read_bytes()[-30 * 40 * 3 :], np.uint8)
    kept = mask == 0
    assert np.array_equal(completed.reshape(30, 40, 3)[kept], picture[kept])
