"""edgefill fills the missing parts of a picture with a GAN, on the machine that has the picture.

import edgefill
completer = edgefill.load("faces64")
completer.complete("photo.png", mask="center").image.save("out.png")
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime reads it when it is loaded. Without it, it writes a device id and a queue of events into the
# user's cache and looks up who collects them. Every process that loads it for edgefill comes by here first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from edgefill.completion import (
        Completer,
        Failure,
        Job,
        Request,
        Result,
        Scheduler,
        SearchSettings,
        load,
        search_settings,
    )
    from edgefill.errors import (
        BackendUnavailable,
        Busy,
        EdgefillError,
        EngineError,
        InputError,
        ModelError,
        OutputError,
    )
    from edgefill.model.bundle import Bundle

# Each public name and the module that defines it; importing edgefill itself loads none of them.
_HOME = {
    "BackendUnavailable": "edgefill.errors",
    "Busy": "edgefill.errors",
    "Bundle": "edgefill.model.bundle",
    "Completer": "edgefill.completion",
    "EdgefillError": "edgefill.errors",
    "EngineError": "edgefill.errors",
    "Failure": "edgefill.completion",
    "InputError": "edgefill.errors",
    "Job": "edgefill.completion",
    "ModelError": "edgefill.errors",
    "OutputError": "edgefill.errors",
    "Request": "edgefill.completion",
    "Result": "edgefill.completion",
    "Scheduler": "edgefill.completion",
    "SearchSettings": "edgefill.completion",
    "load": "edgefill.completion",
    "search_settings": "edgefill.completion",
}

__all__ = [
    "BackendUnavailable",
    "Bundle",
    "Busy",
    "Completer",
    "EdgefillError",
    "EngineError",
    "Failure",
    "InputError",
    "Job",
    "ModelError",
    "OutputError",
    "Request",
    "Result",
    "Scheduler",
    "SearchSettings",
    "__version__",
    "load",
    "search_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgefill' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
