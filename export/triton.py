"""A model for NVIDIA's Triton: a pipeline in its ONNX Runtime, a search in its Python backend."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgefill.errors import ModelError, OutputError
from edgefill.files import write_folder
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import Manifest

_MODULE = '''"""What Triton's Python backend runs; it needs edgefill in that backend's Python."""

from edgefill.serve.triton import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_CONFIG = """name: "{name}"
backend: "{backend}"
max_batch_size: 0
input [
  {{ name: "picture" data_type: TYPE_UINT8 dims: [ -1, -1, {channels} ] }},
  {{ name: "mask" data_type: TYPE_UINT8 dims: [ -1, -1 ] }}{seed}
]
output [
  {{ name: "completed" data_type: TYPE_UINT8 dims: [ -1, -1, {channels} ] }}
]
"""
_SEED = ',\n  { name: "seed" data_type: TYPE_INT64 dims: [ 1 ] optional: true }'


def export_triton(path: Path, repository: Path, *, force: bool = False) -> tuple[Manifest, Path]:
    """Writes the model at ``path`` into a Triton model ``repository``; returns its manifest and its folder.

    In every one ``picture`` is uint8 [H, W, C] of any size, ``mask`` uint8 [H, W] (above 127 is filled) and
    ``completed`` uint8 [H, W, C]. A network of one pass is its pipeline, which needs nothing but ONNX
    Runtime; a search takes edgefill, and a ``seed``. Raises ModelError and OutputError.
    """
    bundle = Bundle.open(path)
    name = path.name.removesuffix(".edgefill")
    folder = repository / name
    if folder.exists() and not force:
        raise OutputError(f"{folder} is already there; choose another folder or replace it with --force")
    contents = _search(path, bundle, name) if bundle.manifest.latent else _pipeline(bundle, name)
    write_folder(folder, contents)
    return bundle.manifest, folder


def config(manifest: Manifest, name: str) -> str:
    """The config.pbtxt of a model."""
    backend, seed = ("python", _SEED) if manifest.latent else ("onnxruntime", "")
    return _CONFIG.format(name=name, backend=backend, channels=manifest.channels, seed=seed)


def _pipeline(bundle: Bundle, name: str) -> dict[str, bytes]:
    from edgefill.export.pipeline import export_pipeline

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_pipeline(bundle, path)
        return {"config.pbtxt": config(bundle.manifest, name).encode(), "1/model.onnx": path.read_bytes()}


def _search(path: Path, bundle: Bundle, name: str) -> dict[str, bytes]:
    if not path.is_file():
        raise ModelError(
            f"{path} is a folder; expected a model that is one file, as edgefill export writes it"
        )
    return {
        "config.pbtxt": config(bundle.manifest, name).encode(),
        "1/model.py": _MODULE.encode(),
        "1/model.edgefill": path.read_bytes(),
    }
