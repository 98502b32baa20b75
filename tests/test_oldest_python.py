"""What runs on a Jetson is written for the Python that JetPack 6 brings; training may need a newer one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDEST = "3.10"
_TRAINING = ("networks", "training")


def runtime_sources() -> list[str]:
    """Every module that completing a picture may load: not training, and of the export only its engines."""
    rooms = [path for path in (ROOT / "edgefill").rglob("*.py") if path.parent.name not in _TRAINING]
    rooms += [*(ROOT / "kernels").rglob("*.py"), *(ROOT / "export" / "engines").rglob("*.py")]
    return sorted(map(str, rooms))


def python_oldest() -> str | None:
    """An interpreter of the oldest release, or None; a shim may be there that does not start."""
    name = f"python{OLDEST}"
    places = [shutil.which(name), *map(str, Path.home().glob(f".pyenv/versions/{OLDEST}.*/bin/{name}"))]
    for place in filter(None, places):
        if subprocess.run([place, "--version"], capture_output=True).returncode == 0:
            return place
    return None


def violations(*sources: str) -> str:
    """What in ``sources`` the oldest Python does not have; the exit code of vermin would forgive syntax."""
    program = "import sys, vermin; sys.exit(vermin.main())"
    options = ["--quiet", "--no-tips", "--violations", f"--target={OLDEST}-"]
    command = [sys.executable, "-c", program, *options, *sources]
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip() or "failed" * done.returncode


def test_package_promises_the_oldest_python():
    assert re.search(
        rf'^requires-python = ">={OLDEST}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )


def test_runtime_uses_nothing_newer():
    sources = runtime_sources()
    assert any("completion" in path for path in sources) and not any("training" in path for path in sources)
    assert violations(*sources) == ""


@pytest.mark.parametrize("newer", ["from datetime import UTC", "import tomllib", "def f[T](x: T): ..."])
def test_something_newer_would_be_noticed(tmp_path, newer):
    (tmp_path / "newer.py").write_text(newer + "\n")
    assert "newer.py" in violations(str(tmp_path / "newer.py"))


def test_runtime_compiles_with_the_oldest_python():
    python = python_oldest()
    if python is None:
        pytest.skip(f"there is no python{OLDEST} on this machine to compile with")
    program = "import sys; [compile(open(path).read(), path, 'exec') for path in sys.argv[1:]]"
    done = subprocess.run([python, "-c", program, *runtime_sources()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
