"""The kit's way there: split, carried, checked, joined and installed with pip alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks import gpu_kit


@pytest.fixture
def kit(tmp_path) -> Path:
    """Pieces of one small wheel, as ``pack`` leaves them."""
    wheel = tmp_path / "carried-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("carried.py", "ANSWER = 42\n")
        info = "carried-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    with tarfile.open(tmp_path / "kit.tar", "w") as tar:
        tar.add(wheel, wheel.name)
    (tmp_path / "kit").mkdir()
    gpu_kit._split(tmp_path / "kit.tar", tmp_path / "kit", 1000)
    return tmp_path / "kit"


def test_what_was_split_comes_together_and_is_installed(kit, tmp_path):
    pieces = json.loads((kit / "kit.json").read_text())["pieces"]
    assert len(pieces) > 5 and all((kit / name).stat().st_size <= 1000 for name in pieces)
    gpu_kit.unpack(kit, tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import carried; print(carried.ANSWER)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "42\n"


def test_a_piece_that_is_missing_or_damaged_is_named(kit, tmp_path):
    piece = kit / "kit.002"
    content = piece.read_bytes()
    piece.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SystemExit, match=r"kit\.002 is damaged"):
        gpu_kit.unpack(kit, tmp_path / "site")
    piece.unlink()
    with pytest.raises(SystemExit, match=r"lacks kit\.002; expected all of \d+ pieces"):
        gpu_kit.unpack(kit, tmp_path / "site")
    assert not (tmp_path / "site").exists()
