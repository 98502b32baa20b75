"""A model on disk: a manifest and the ONNX graphs it vouches for, in a folder or in one zip of it.

Reading a bundle never unpickles anything: the manifest is JSON, every file's sha256 is checked, and each
graph is looked through (``edgefill.model.onnx_file``) before a runtime sees it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from edgefill.errors import ModelError, OutputError
from edgefill.files import atomic_writer, standing_folder, write_folder
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH
from edgefill.model.manifest import (
    COMPLETION,
    ENCODER,
    FIT,
    GRAPHS,
    HALF,
    HALF_GRAPHS,
    Manifest,
    graph_dtypes,
    graph_signatures,
)
from edgefill.model.onnx_file import MAX_BYTES, Shape, check_onnx, extracted

MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1024 * 1024
_FIT_OUTPUTS = {"loss": "fit", "grad_z": "grad_z_fit"}  # as the step's file calls them
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
    OSError, OverflowError, RuntimeError, UnicodeError, ValueError,
)  # fmt: skip


class _Files(NamedTuple):
    """The files of a model that completes by one method."""

    graphs: frozenset[str]
    halves: frozenset[str]  # beside them where it computes in both precisions
    optional: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        return self.graphs | self.halves | self.optional


def _named(names: Iterable[str], ending: str = "") -> frozenset[str]:
    return frozenset(f"{name}{ending}.onnx" for name in names)


_FILES = {
    LATENT_SEARCH: _Files(_named(GRAPHS), _named(HALF_GRAPHS, HALF), _named([ENCODER])),
    FEED_FORWARD: _Files(_named([COMPLETION]), _named([COMPLETION], HALF)),
}


def _file_signature(manifest: Manifest, name: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Inputs and outputs of the file that holds the graph ``name``: the step's has those of the fit too."""
    signatures = graph_signatures(manifest)
    if name not in ("step", FIT):
        return signatures[name]
    inputs, outputs = signatures["step"]
    fit = {own: signatures[FIT][1][output] for output, own in _FIT_OUTPUTS.items()}
    return inputs, {**outputs, **fit}


class Bundle:
    """A verified model: its manifest, and its graphs as bytes for a runtime."""

    def __init__(self, manifest: Manifest, path: Path, files: Mapping[str, bytes]) -> None:
        self.manifest = manifest
        self.path = path
        self._files = files

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """The bundle at ``path``, a folder or a zip, with every file's sha256 checked. Raises ModelError."""
        path = Path(path)
        try:
            place = standing_folder(path)
            files = _read_folder(place) if place.is_dir() else _read_zip(path)
        except _ZIP_ERRORS as error:
            raise ModelError(f"{path} cannot be read as a model: {error}; export or copy it again") from error
        manifest = Manifest.from_json(files.pop(MANIFEST), str(path))
        own = _FILES[manifest.method]
        named = set(files) - own.optional
        if set(manifest.files) != set(files) or named not in (own.graphs, own.graphs | own.halves):
            raise ModelError(
                f"{path} holds {sorted(files)} and its manifest lists {sorted(manifest.files)}; "
                f"expected {sorted(own.graphs)} in both; export the model again"
            )
        for name, content in files.items():
            found, expected = hashlib.sha256(content).hexdigest(), manifest.files[name].get("sha256")
            if found != expected:
                raise ModelError(
                    f"{name} in {path} has sha256 {found[:12]}…; its manifest says {str(expected)[:12]}…: "
                    "the file is damaged or was changed; export or copy the model again"
                )
        return cls(manifest, path, files)

    @property
    def precisions(self) -> tuple[str, ...]:
        """What a search can compute in: the manifest's precision, and fp16 where such graphs are beside."""
        halves = _FILES[self.manifest.method].halves
        return (self.manifest.precision, *["fp16"] * (set(self._files) >= halves))

    def precision_of(self, name: str, wanted: str | None = None) -> str:
        """What the graph ``name`` computes in where ``wanted`` is asked for; the encoder has one form."""
        return self.manifest.precision if name == ENCODER or wanted is None else wanted

    def graph(self, name: str, precision: str | None = None) -> bytes:
        """The ONNX model ``name``, a key of ``graph_signatures``, checked to be what such a graph must be.

        ``precision`` is the manifest's unless given; the encoder is always in that. Raises ModelError where
        the graph is not there in it.
        """
        beside = self.precision_of(name, precision) != self.manifest.precision
        file = f"{'step' if name == FIT else name}{HALF * beside}.onnx"
        if file not in self._files or (beside and precision != "fp16"):
            has = f"its {name} in {self.manifest.precision}, not in {precision}" if beside else f"no {name}"
            again = "export or import the model again" + " with --precision both" * beside
            raise ModelError(f"{self.path} holds {has}; {again}")
        content = self._files[file]
        inputs, outputs = _file_signature(self.manifest, name)
        dtypes = graph_dtypes(self.manifest, name)
        check_onnx(content, name=f"{file} in {self.path}", inputs=inputs, outputs=outputs, dtypes=dtypes)
        if name not in ("step", FIT):
            return content
        wanted = graph_signatures(self.manifest)[name][1]
        return extracted(content, {key: _FIT_OUTPUTS.get(key, key) if name == FIT else key for key in wanted})


def write_bundle(path: str | Path, manifest: Manifest, graphs: Mapping[str, bytes]) -> Manifest:
    """Writes a bundle to ``path``, whole or not at all, and returns its manifest with the files' hashes.

    ``graphs`` are those of GRAPHS, the ENCODER if there is one and, where an fp32 bundle has fp16 beside,
    HALF_GRAPHS with HALF.

    A path with a suffix becomes one zip (stored, without dates: equal contents give equal bytes), one without
    becomes a folder. Raises OutputError.
    """
    path = Path(path)
    files = {f"{name}.onnx": content for name, content in graphs.items()}
    hashes = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    manifest = dataclasses.replace(manifest, files=hashes)
    contents = {MANIFEST: manifest.to_json().encode(), **files}
    if path.suffix:
        with atomic_writer(path) as file:
            file.write(_zip_bytes(contents))
    else:
        _write_folder(path, contents)
    return manifest


def _zip_bytes(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    if path.exists() and not (path.is_dir() and (path / MANIFEST).exists()):
        raise OutputError(f"cannot write the model to {path}: something else lies there; choose another name")
    write_folder(path, contents)


def _read_folder(path: Path) -> dict[str, bytes]:
    files = {}
    for entry in sorted(path.iterdir()):
        limit = _limit(entry.name, path)
        if entry.is_symlink() or not entry.is_file():
            raise ModelError(f"{entry} is a link or no file; expected the plain files of a model")
        if entry.stat().st_size > limit:
            raise ModelError(f"{entry} has {entry.stat().st_size} bytes; at most {limit} are read")
        files[entry.name] = entry.read_bytes()
    return _with_manifest(files, path)


def _read_zip(path: Path) -> dict[str, bytes]:
    if not path.exists():
        raise ModelError(f"{path} does not exist; `edgefill models` lists the models that are there")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} is no edgefill model (neither a folder nor a zip); make one with `edgefill export`"
        )
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            limit = _limit(entry.filename, path)
            if entry.filename in files:
                raise ModelError(f"{path} holds {entry.filename!r} twice; export the model again")
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                raise ModelError(f"{path} holds the link {entry.filename!r}; expected plain files")
            if entry.file_size > limit:
                raise ModelError(
                    f"{entry.filename!r} in {path} has {entry.file_size} bytes; at most {limit} are read"
                )
            files[entry.filename] = archive.read(entry)
    return _with_manifest(files, path)


def _limit(name: str, path: Path) -> int:
    """How many bytes the file ``name`` of a bundle may have; any other name is refused."""
    if name == MANIFEST:
        return _MAX_MANIFEST_BYTES
    if not any(name in each.all for each in _FILES.values()):
        raise ModelError(f"{path} holds the file {name!r}; expected {MANIFEST} and the graphs of a model")
    return MAX_BYTES


def _with_manifest(files: dict[str, bytes], path: Path) -> dict[str, bytes]:
    if MANIFEST not in files:
        raise ModelError(
            f"{path} has no {MANIFEST}; make a model with `edgefill export RUN --out MODEL.edgefill`"
        )
    return files
