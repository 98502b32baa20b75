"""Networks to ONNX: the gradient graph, the proof of it, the bundle; and foreign ONNX files to bundles."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Told": "edgefill.export.importing.told",
    "export_bundle": "edgefill.export.bundle",
    "export_completion": "edgefill.export.completion",
    "export_run": "edgefill.export.run",
    "gradient_graph": "edgefill.export.gradient",
    "import_network": "edgefill.export.importing.importer",
}

__all__ = ["Told", "export_bundle", "export_completion", "export_run", "gradient_graph", "import_network"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgefill.export' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
