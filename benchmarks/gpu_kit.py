"""Packs what benchmarks.gpu needs for a machine with a GPU and no network, in pieces that can be carried.

    python benchmarks/gpu_kit.py pack kit --python python3.12   # on a connected machine of the same platform
    python benchmarks/gpu_kit.py unpack kit --into site         # there, when every piece lies in kit/
    PYTHONPATH=site python -m pip install --no-index --no-deps --no-build-isolation --editable .
    PYTHONPATH=site python -m benchmarks.gpu

It runs on Python's own library alone, since nothing is installed there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGES = (  # each by itself, since pip would fetch a second NumPy and PyTorch along with them
    "tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings",
    "onnxruntime-gpu", "flatbuffers", "cuda-bindings", "cuda-pathfinder",
    "pytools", "platformdirs", "siphash24", "mako", "markupsafe",
    "typer", "pydantic", "pydantic-core", "typing-extensions", "typing-inspection", "annotated-types",
    "annotated-doc", "shellingham", "rich", "markdown-it-py", "mdurl", "pygments",
    "pillow", "setuptools",
)  # fmt: skip
# What pycuda is compiled against: the oldest CUDA 13, since a newer one asks for functions of newer drivers.
_HEADERS = tuple(f"nvidia-cuda-{part}==13.0.*" for part in ("runtime", "crt", "nvcc", "profiler-api"))
_INDEX = "kit.json"


def pack(folder: Path, python: str, megabytes: int) -> None:
    """Downloads every wheel for ``python``, builds pycuda's, and writes the pieces and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = Path(scratch) / "wheels"
        _pip(python, "wheel", "--no-deps", "--wheel-dir", wheels, *PACKAGES)
        _build_pycuda(python, Path(scratch), wheels)
        archive = Path(scratch) / "kit.tar"
        with tarfile.open(archive, "w") as tar:
            for wheel in sorted(wheels.iterdir()):
                tar.add(wheel, wheel.name)
        _split(archive, folder, megabytes * 1_000_000)
    pieces = json.loads((folder / _INDEX).read_text())["pieces"]
    print(
        f"{len(pieces)} pieces of at most {megabytes} MB in {folder}; carry them and {_INDEX}, then: unpack"
    )


def unpack(folder: Path, into: Path) -> None:
    """Checks the pieces against their index, joins them, and installs every wheel into ``into``."""
    index = json.loads((folder / _INDEX).read_text())
    missing = [name for name in index["pieces"] if not (folder / name).exists()]
    if missing:
        sys.exit(f"{folder} lacks {', '.join(missing)}; expected all of {len(index['pieces'])} pieces")
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "kit.tar"
        with archive.open("wb") as file:
            for name, expected in index["pieces"].items():
                content = (folder / name).read_bytes()
                if hashlib.sha256(content).hexdigest() != expected:
                    sys.exit(f"{folder / name} is damaged: its sha256 differs; carry it again")
                file.write(content)
        with tarfile.open(archive) as tar:
            tar.extractall(Path(scratch) / "wheels", filter="data")
        wheels = sorted((Path(scratch) / "wheels").iterdir())
        _pip(sys.executable, "install", "--no-index", "--no-deps", "--target", into, *wheels)


def _split(archive: Path, folder: Path, size: int) -> None:
    pieces = {}
    with archive.open("rb") as file:
        while content := file.read(size):
            name = f"kit.{len(pieces):03}"
            (folder / name).write_bytes(content)
            pieces[name] = hashlib.sha256(content).hexdigest()
    (folder / _INDEX).write_text(json.dumps({"pieces": pieces}, indent=2) + "\n")


def _build_pycuda(python: str, scratch: Path, wheels: Path) -> None:
    """pycuda comes as source: compiled against CUDA's headers, without curand; libcuda is the driver's."""
    _pip(python, "download", "--no-deps", "--no-binary=pycuda", "--dest", scratch, "pycuda")
    headers, stub = scratch / "headers", scratch / "stub"
    _pip(python, "install", "--no-deps", "--target", headers, *_HEADERS)
    (source,) = scratch.glob("pycuda-*.tar.gz")
    with tarfile.open(source) as tar:
        tar.extractall(scratch / "source", filter="data")
    (tree,) = (scratch / "source").iterdir()
    (tree / "siteconf.py").write_text("CUDA_ENABLE_CURAND = False\n")
    stub.mkdir()
    command = [
        "gcc",
        "-shared",
        "-Wl,-soname,libcuda.so.1",
        "-o",
        stub / "libcuda.so",
        "-x",
        "c",
        "/dev/null",
    ]
    subprocess.run(command, check=True)
    includes = sorted({str(path.parent) for path in headers.rglob("*.h") if path.parent.name == "include"})
    environment = {
        **os.environ,
        "CPATH": ":".join(includes),
        "LIBRARY_PATH": str(stub),
        "LDFLAGS": "-Wl,--no-as-needed",  # the stub has nothing that is needed, the driver's library has
    }
    _pip(python, "wheel", "--no-deps", "--wheel-dir", wheels, tree, environment=environment)


def _pip(python: str, *arguments: object, environment: dict[str, str] | None = None) -> None:
    command = [python, "-m", "pip", *map(str, arguments)]
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="download, build and split; needs a network and gcc")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--python", default=sys.executable, help="interpreter of the GPU machine's version")
    packing.add_argument("--megabytes", type=int, default=60, help="of a piece, at most")
    unpacking = commands.add_parser("unpack", help="check, join and install; needs no network")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("--into", type=Path, required=True, help="folder for PYTHONPATH")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.folder, options.python, options.megabytes)
    else:
        unpack(options.folder, options.into)


if __name__ == "__main__":
    main()
