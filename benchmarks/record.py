"""A recorded result: the figures with the machine, the versions and the commit they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgefill.files import write_atomically
from edgefill.machine import environment

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "edgefill", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "scikit-image", "torch"
)  # fmt: skip


def record(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Writes ``<name>.json`` into ``folder`` and returns its path."""
    path = folder / f"{name}.json"
    document = {"benchmark": name, "environment": environment(_PACKAGES), "figures": figures}
    write_atomically(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path
