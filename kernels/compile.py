"""The compiled forms that ship: ``python -m edgefill.kernels.compile`` writes them, ``--check`` compares.

All sources are one module, but for what ends a loop. The same sources give the same bytes on every machine,
so that a check can be made anywhere; no path, date or host is in them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgefill.errors import EngineError
from edgefill.files import write_atomically
from edgefill.kernels.arguments import header
from edgefill.kernels.forms import CUBINS, LOOP, PTX, REPORT, cubin_name, ptx_name
from edgefill.kernels.nvrtc import VERSION, Nvrtc
from edgefill.kernels.solvers import SHIPPED
from edgefill.kernels.solvers.solver import Solver

HEADER = "arguments.cuh"
_LOOP_SOURCE = "loop.cu"
COMPILED = Path(__file__).parent / "compiled"
_NEWEST_PTX = (8, 0)  # what the drivers of CUDA 12.0 read
_OPTIONS = (
    "--std=c++17",
    "--fmad=false",  # a product is rounded before it is added to, as in NumPy
    "--ptxas-options=-v",
    "-D__NV_TARGET_H",  # leaves out a header of NVRTC's own, and its constants in each module
)
_KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:, (?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)


def build() -> dict[str, bytes]:
    """The content of every file of ``compiled``, by name. Raises BackendUnavailable or EngineError."""
    compiler, sources = Nvrtc(), read_sources()
    files: dict[str, bytes] = {}
    forms: dict[str, Any] = {}
    architectures = {cubin_name(sm): f"sm_{sm}" for sm in CUBINS}
    for name, architecture in (architectures | dict.fromkeys((ptx_name(), LOOP), f"compute_{PTX}")).items():
        options = [f"--gpu-architecture={architecture}", *_OPTIONS]
        files[name], log = compiler.compile(_program(sources, name), sources, options)
        forms[name] = {"sha256": _sha256(files[name]), "bytes": len(files[name])}
        forms[name] |= {"kernels": _kernels(log)} if name in architectures else {"isa": _isa(files[name])}
    report = {
        "compiler": "NVRTC {}.{}".format(*VERSION),
        "options": _OPTIONS,
        "sources": {name: _sha256(text.encode()) for name, text in sources.items()},
        "forms": forms,
    }
    described = (json.dumps(report, indent=2) + "\n").encode()
    return {**files, HEADER: sources[HEADER].encode(), REPORT: described}


def read_sources(solvers: Sequence[type[Solver]] = SHIPPED) -> dict[str, str]:
    """The text of every source, by name, in the order they are compiled; the header is made here."""
    folder = Path(__file__).parent
    shared = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in ("search.cuh", "compose.cu", _LOOP_SOURCE)
    }
    own = {f"{solver.name}.cu": solver.source() for solver in solvers}
    return {HEADER: header(solvers), "search.cuh": shared.pop("search.cuh"), **own, **shared}


def differences(files: Mapping[str, bytes], folder: Path = COMPILED) -> list[str]:
    """One line for each file of ``folder`` that is not as in ``files``: other content, absent, not known."""
    there = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    lines = [f"{name} is absent" for name in files.keys() - there.keys()]
    lines += [f"{name} is no form of the sources" for name in there.keys() - files.keys()]
    lines += [f"{name} differs" for name in files.keys() & there.keys() if files[name] != there[name]]
    return sorted(lines)


def _program(sources: Iterable[str], form: str) -> str:
    """The lines that the ``form`` is compiled from: what only newer drivers load is a module of its own."""
    names = [name for name in sources if name.endswith(".cu") and (name == _LOOP_SOURCE) == (form == LOOP)]
    return "".join(f'#include "{name}"\n' for name in names)


def _kernels(log: str) -> dict[str, dict[str, int]]:
    """What the assembler's report says of each kernel."""
    return {
        found["name"]: {
            "registers": int(found["registers"]),
            "spilled_bytes": int(found["stores"]) + int(found["loads"]),
            "stack_bytes": int(found["stack"]),
            "shared_bytes": int(found["shared"] or 0),
        }
        for found in _KERNEL.finditer(log)
    }


def _isa(ptx: bytes) -> str:
    """The version of the PTX's instruction set. Raises EngineError for one that older drivers cannot read."""
    found = re.search(rb"^\.version (\d+)\.(\d+)$", ptx, re.MULTILINE)
    version = (int(found[1]), int(found[2])) if found else None
    if version is None or version > _NEWEST_PTX:
        raise EngineError(f"the PTX is of ISA {version}; expected {_NEWEST_PTX} at most; use NVRTC 12.0")
    return "{}.{}".format(*version)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Builds, then writes or compares."""
    parser = argparse.ArgumentParser(description="Compiles the kernels into the forms that ship.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the files differ")
    check = parser.parse_args().check
    files = build()
    if not check:
        for name, content in files.items():
            write_atomically(COMPILED / name, content)
    if found := differences(files):
        sys.exit("\n".join([f"in {COMPILED}:", *found, "expected what the sources give: run make kernels"]))


if __name__ == "__main__":
    main()
