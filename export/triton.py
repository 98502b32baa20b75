"""A model for NVIDIA's Triton: a pipeline in its ONNX Runtime or TensorRT, a search in its Python backend."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgefill.errors import InputError, ModelError, OutputError
from edgefill.files import write_folder
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import Manifest

_MODULE = '''"""What Triton's Python backend runs; it needs edgefill in that backend's Python."""

from edgefill.serve.triton import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_PLATFORMS = {
    "python": 'backend: "python"',
    "onnxruntime": 'backend: "onnxruntime"',
    "tensorrt": 'backend: "tensorrt"\nplatform: "tensorrt_plan"',
}
_SIDES = (1, 1), (480, 640), (4096, 4096)  # of a plan's pictures: smallest, most likely, largest
_CONFIG = """name: "{name}"
{platform}
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


def export_triton(
    path: Path, repository: Path, *, plan: bool = False, force: bool = False
) -> tuple[Manifest, Path]:
    """Writes the model at ``path`` into a Triton model ``repository``; returns its manifest and its folder.

    In every one ``picture`` is uint8 [H, W, C] of any size, ``mask`` uint8 [H, W] (above 127 is filled) and
    ``completed`` uint8 [H, W, C]. A network of one pass is its pipeline, which needs nothing but ONNX
    Runtime, or as a ``plan`` TensorRT, of this machine's release and GPU and with sides of up to 4096
    pixels; a search takes edgefill, and a ``seed``. Raises ModelError, OutputError, InputError for the plan
    of a search, BackendUnavailable where there is no TensorRT, and EngineError where it builds none.
    """
    bundle = Bundle.open(path)
    name = path.name.removesuffix(".edgefill")
    folder = repository / name
    if folder.exists() and not force:
        raise OutputError(f"{folder} is already there; choose another folder or replace it with --force")
    if plan and bundle.manifest.latent:
        raise InputError(f"{name} searches, which no plan of TensorRT can; expected a model of one pass")
    contents = _search(path, bundle, name) if bundle.manifest.latent else _pipeline(bundle, name, plan=plan)
    write_folder(folder, contents)
    return bundle.manifest, folder


def config(manifest: Manifest, name: str, *, plan: bool = False) -> str:
    """The config.pbtxt of a model."""
    one_pass = "tensorrt" if plan else "onnxruntime"
    backend, seed = ("python", _SEED) if manifest.latent else (one_pass, "")
    return _CONFIG.format(name=name, platform=_PLATFORMS[backend], channels=manifest.channels, seed=seed)


def _pipeline(bundle: Bundle, name: str, *, plan: bool) -> dict[str, bytes]:
    from edgefill.export.pipeline import export_pipeline

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_pipeline(bundle, path)
        graph, configured = path.read_bytes(), config(bundle.manifest, name, plan=plan).encode()
    if plan:
        return {"config.pbtxt": configured, "1/model.plan": _plan_of(graph, bundle.manifest)}
    return {"config.pbtxt": configured, "1/model.onnx": graph}


def _plan_of(graph: bytes, manifest: Manifest) -> bytes:
    """The pipeline ``graph`` as a plan for the GPU that is here."""
    from edgefill.export.engines.builder import build_plan
    from edgefill.export.engines.recipe import Recipe, static

    shapes = {"picture": tuple((*sides, manifest.channels) for sides in _SIDES), "mask": _SIDES}
    recipe = Recipe("pipeline", manifest.precision, "tensorrt", static(1))
    return build_plan(graph, recipe, shapes=shapes).content


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
