"""The compiled forms of the kernels that ship with the package; nothing is compiled or cached at run time."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import Any

from edgefill.errors import BackendUnavailable, EngineError

CUBINS = (75, 80, 86, 87, 89, 90)  # compute capabilities with machine code of their own
PTX = 75  # what the PTX asks for; the driver compiles it for any GPU since
LOOP = "loop.ptx"  # what ends a loop on the device, for the drivers that have such loops
REPORT = "report.json"


def form_for(sm: int) -> tuple[str, bytes]:
    """File name and content of the form for a GPU of compute capability ``sm``, such as 87.

    A cubin where there is one of exactly that capability, since one of a desktop GPU need not run on a Jetson
    of the same major number, nor the other way round; else the PTX. Raises BackendUnavailable for an older
    GPU, EngineError where the file is not the one that was shipped.
    """
    if sm < PTX:
        raise BackendUnavailable(
            f"the kernels have no form for sm_{sm}; expected a GPU of sm_{PTX} (Turing) or newer; "
            "complete with --backend cpu"
        )
    name = cubin_name(sm) if sm in CUBINS else ptx_name()
    return name, shipped(name)


def shipped(name: str) -> bytes:
    """The content of the form ``name``. Raises EngineError where the file is not the one that was shipped."""
    image = _read(name)
    found, expected = hashlib.sha256(image).hexdigest(), _expected(name)
    if found != expected:
        raise _damaged(name, f"has sha256 {found[:12]}…, expected {expected[:12]}…")
    return image


def report() -> dict[str, Any]:
    """What the compiler said of each form, and the sha256 of the sources and forms. Raises EngineError."""
    try:
        content: dict[str, Any] = json.loads(_read(REPORT))
    except ValueError as error:
        raise _damaged(REPORT, f"is not JSON ({error})") from error
    return content


def cubin_name(sm: int) -> str:
    """The file of the machine code for ``sm``."""
    return f"sm_{sm}.cubin"


def ptx_name() -> str:
    """The file of the PTX."""
    return f"compute_{PTX}.ptx"


def _read(name: str) -> bytes:
    try:
        return (resources.files("edgefill.kernels") / "compiled" / name).read_bytes()
    except OSError as error:
        raise _damaged(name, f"cannot be read ({error.strerror})") from error


def _expected(name: str) -> str:
    try:
        return str(report()["forms"][name]["sha256"])
    except (KeyError, TypeError) as error:
        raise _damaged(REPORT, f"does not list {name}") from error


def _damaged(name: str, found: str) -> EngineError:
    return EngineError(
        f"the kernels cannot be loaded: kernels/compiled/{name} {found}; expected the file that ships with "
        "edgefill; reinstall it: pip install --force-reinstall --no-deps edgefill"
    )
