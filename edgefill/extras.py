"""How to install an optional part of edgefill so that it works from where this one came from.

No index has edgefill: from a checkout pip is given its path, from a wheel what the extra consists of.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


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
