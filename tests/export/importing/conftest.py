"""The foreign file that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED


@pytest.fixture(scope="session")
def migan() -> Path:
    """MI-GAN in its packaging, as its authors publish it; skips where it is absent."""
    path = SHARED / "migan" / "migan_pipeline_v2.onnx"
    if not path.is_file():
        pytest.skip(f"needs MI-GAN in {path}, which is not on this machine")
    return path
