"""A recorded result: the figures with the machine, the versions and the commit they belong to."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgefill.files import write_atomically

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("edgefill", "numpy", "onnxruntime", "openvino", "torch")


def record(name: str, figures: dict[str, Any]) -> Path:
    """Writes ``results/<name>.json`` and returns its path."""
    path = RESULTS / f"{name}.json"
    document = {"benchmark": name, "environment": environment(), "figures": figures}
    write_atomically(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path


def environment() -> dict[str, Any]:
    """The machine, the versions and the commit; ``commit`` ends in + where files differ from it."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + "+" * bool(changed)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
