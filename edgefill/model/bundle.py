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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edgefill.errors import ModelError, OutputError
from edgefill.files import atomic_writer, standing_folder, write_folder
from edgefill.limits import shown
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH
from edgefill.model.features import generator_of, widened
from edgefill.model.manifest import (
    COMPLETION,
    ENCODER,
    FIT,
    FORMAT,
    GRAPHS,
    HALF,
    HALF_GRAPHS,
    WIDE,
    WITHOUT_D,
    WITHOUT_FIT,
    Manifest,
    check_known,
    graph_dtypes,
    graph_signatures,
)
from edgefill.model.onnx_file import MAX_BYTES, Shape, check_onnx, extracted

MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1024 * 1024
_MOST_EXPANSION = 50  # times: weights hardly shrink, and no graph to a fiftieth
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
_FILES_WITHOUT_D = _Files(_named(WITHOUT_D), _named(WITHOUT_D, HALF), _named([ENCODER]))
_ALL_FILES = _FILES_WITHOUT_D.all.union(*(each.all for each in _FILES.values()))


def _files_of(manifest: Manifest) -> _Files:
    return _FILES[manifest.method] if manifest.has_discriminator else _FILES_WITHOUT_D


def _file_signature(manifest: Manifest, name: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Inputs and outputs of the file that holds the graph ``name``: the step's has those of the fit too."""
    signatures = graph_signatures(manifest)
    if name not in ("step", FIT) or not manifest.has_discriminator:
        return signatures[name]
    inputs, outputs = signatures["step"]
    if manifest.format <= WITHOUT_FIT:
        return inputs, outputs
    fit = {own: signatures[FIT][1][output] for output, own in _FIT_OUTPUTS.items()}
    return inputs, {**outputs, **fit}


class Bundle:
    """A verified model: its manifest, and its graphs as bytes for a runtime."""

    def __init__(self, manifest: Manifest, path: Path, files: Mapping[str, bytes]) -> None:
        self.manifest = manifest
        self.path = path
        self._files = files
        self._widened: dict[str | None, tuple[bytes, int]] = {}

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """The bundle at ``path``, a folder or a zip, with every file's sha256 checked. Raises ModelError."""
        path = Path(path)
        try:
            with _opened(path) as entries:
                manifest = Manifest.from_json(entries[MANIFEST].read(), str(path))
                check_known(manifest, entries[MANIFEST].read(), str(path))
                graphs = {name: entry for name, entry in entries.items() if name != MANIFEST}
                _check_names(manifest, set(graphs), path)
                _check_sizes(manifest, graphs, path)
                files = {name: entry.read() for name, entry in graphs.items()}
        except _ZIP_ERRORS as error:
            raise ModelError(f"{path} cannot be read as a model: {error}; export or copy it again") from error
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
        halves = _files_of(self.manifest).halves
        return (self.manifest.precision, *["fp16"] * (set(self._files) >= halves))

    def stored(self) -> dict[str, bytes]:
        """The graphs of the manifest's precision by name, as they are stored: the step with the fit."""
        names = {file.removesuffix(".onnx"): file for file in self._files}
        return {name: self._files[file] for name, file in names.items() if not name.endswith(HALF)}

    def features(self, precision: str | None = None) -> int:
        """How many numbers the latent of the graphs WIDE has beside z; 0 where there are none.

        Searches from the encoder's z move them: without an encoder nobody asks for them.
        """
        if precision not in self._widened:
            latent, wide = self.manifest.latent, (b"", 0)
            if latent and self.manifest.has_encoder:
                wide = widened(self.graph(FIT, precision), latent.z_dim, latent.prior)
            self._widened[precision] = wide
        return self._widened[precision][1]

    def signature(self, name: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Inputs and outputs of the graph ``name``, those of WIDE among them."""
        signatures = graph_signatures(self.manifest)
        for plain, wide in WIDE.items():
            if name == wide:
                width = ("N", self.manifest.z_dim + self.features())
                changed = dict.fromkeys(("z", "anchor", "grad_z"), width)
                inputs, outputs = (
                    {key: changed.get(key, shape) for key, shape in side.items()}
                    for side in signatures[plain]
                )
                return inputs, outputs
        return signatures[name]

    def precision_of(self, name: str, wanted: str | None = None) -> str:
        """What the graph ``name`` computes in where ``wanted`` is asked for; the encoder has one form."""
        return self.manifest.precision if name == ENCODER or wanted is None else wanted

    def graph(self, name: str, precision: str | None = None) -> bytes:
        """The ONNX model ``name``, a key of ``graph_signatures``, checked to be what such a graph must be.

        ``precision`` is the manifest's unless given; the encoder is always in that. Raises ModelError where
        the graph is not there in it.
        """
        if name in WIDE.values() and self.features(precision):
            wide = self._widened[precision][0]
            return wide if name == WIDE[FIT] else generator_of(wide)
        beside = self.precision_of(name, precision) != self.manifest.precision
        part = name == FIT and self.manifest.has_discriminator  # of the step's file
        file = f"{'step' if part else name}{HALF * beside}.onnx"
        if file not in self._files or (beside and precision != "fp16"):
            has = f"its {name} in {self.manifest.precision}, not in {precision}" if beside else f"no {name}"
            again = "export or import the model again" + " with --precision both" * beside
            raise ModelError(f"{self.path} holds {has}; {again}")
        content = self._files[file]
        inputs, outputs = _file_signature(self.manifest, name)
        dtypes = graph_dtypes(self.manifest, name)
        check_onnx(content, name=f"{file} in {self.path}", inputs=inputs, outputs=outputs, dtypes=dtypes)
        if name != "step" and not part:
            return content
        wanted = graph_signatures(self.manifest)[name][1]
        if name == FIT and self.manifest.format <= WITHOUT_FIT:
            return extracted(content, {key: key for key in wanted}, constants={"lam": 0.0})
        if self.manifest.format <= WITHOUT_FIT:
            return content
        return extracted(content, {key: _FIT_OUTPUTS.get(key, key) if name == FIT else key for key in wanted})


def write_bundle(path: str | Path, manifest: Manifest, graphs: Mapping[str, bytes]) -> Manifest:
    """Writes a bundle to ``path``, whole or not at all, and returns its manifest with the files' hashes.

    ``graphs`` are those of GRAPHS or WITHOUT_D, the ENCODER if there is one and, where an fp32 bundle has
    fp16 beside, HALF_GRAPHS or WITHOUT_D with HALF.

    A path with a suffix becomes one zip (stored, without dates: equal contents give equal bytes), one without
    becomes a folder. Raises OutputError.
    """
    path = Path(path)
    files = {f"{name}.onnx": content for name, content in graphs.items()}
    hashes = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    manifest = dataclasses.replace(manifest, files=hashes, format=FORMAT).sealed()
    contents = {MANIFEST: manifest.to_json().encode(), **files}
    if path.suffix:
        with atomic_writer(path) as file:
            file.write(_zip_bytes(contents))
    else:
        _write_folder(path, contents)
    return manifest


def annotate(path: str | Path, **changes: Any) -> Manifest:
    """Writes the bundle at ``path`` again with ``changes`` of its manifest, which is returned; see there."""
    bundle = Bundle.open(path)
    graphs = {name.removesuffix(".onnx"): content for name, content in bundle._files.items()}
    return write_bundle(path, dataclasses.replace(bundle.manifest, **changes), graphs)


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


class _Entry(NamedTuple):
    """One file of a bundle that is not read yet."""

    size: int
    read: Callable[[], bytes]


@contextmanager
def _opened(path: Path) -> Iterator[dict[str, _Entry]]:
    """The files of the bundle at ``path`` by name, the manifest among them. Raises ModelError."""
    place = standing_folder(path)
    if place.is_dir():
        yield _with_manifest(_of_folder(place), path)
        return
    if not path.exists():
        raise ModelError(f"{path} does not exist; `edgefill models` lists the models that are there")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} is no edgefill model (neither a folder nor a zip); make one with `edgefill export`"
        )
    with zipfile.ZipFile(path) as archive:
        yield _with_manifest(_of_zip(archive, path), path)


def _of_folder(path: Path) -> dict[str, _Entry]:
    entries = {}
    for file in sorted(path.iterdir()):
        _check_name(file.name, path)
        if file.is_symlink() or not file.is_file():
            raise ModelError(f"{file} is a link or no file; expected the plain files of a model")
        entries[file.name] = _Entry(file.stat().st_size, file.read_bytes)
    return entries


def _of_zip(archive: zipfile.ZipFile, path: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for entry in archive.infolist():
        _check_name(entry.filename, path)
        if entry.filename in entries:
            raise ModelError(f"{path} holds {entry.filename!r} twice; export the model again")
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise ModelError(f"{path} holds the link {entry.filename!r}; expected plain files")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(
                f"{path} holds {entry.filename!r} compressed by method {entry.compress_type}; expected it "
                "stored, as it is exported, or deflated"
            )
        entries[entry.filename] = _Entry(entry.file_size, partial(archive.read, entry))
    claimed, real = sum(entry.size for entry in entries.values()), path.stat().st_size
    if claimed > _MOST_EXPANSION * real + _MAX_MANIFEST_BYTES:
        raise ModelError(
            f"{path} has {real:,} bytes and claims to hold {claimed:,}; expected at most "
            f"{_MOST_EXPANSION} times as many; export or copy the model again"
        )
    return entries


def _check_name(name: str, path: Path) -> None:
    if name != MANIFEST and name not in _ALL_FILES:
        raise ModelError(f"{path} holds the file {name!r}; expected {MANIFEST} and the graphs of a model")


def _check_names(manifest: Manifest, names: set[str], path: Path) -> None:
    """Raises ModelError unless ``names`` are what such a model has and what its manifest lists."""
    own = _files_of(manifest)
    if set(manifest.files) != names or names - own.optional not in (own.graphs, own.graphs | own.halves):
        raise ModelError(
            f"{path} holds {sorted(names)} and its manifest lists {sorted(manifest.files)}; "
            f"expected {sorted(own.graphs)} in both; export the model again"
        )


def _check_sizes(manifest: Manifest, entries: Mapping[str, _Entry], path: Path) -> None:
    """Raises ModelError where a file has not the size that the manifest says, or they are too large."""
    for name, entry in entries.items():
        listed = manifest.files[name].get("bytes", entry.size)
        if entry.size != listed:
            raise ModelError(
                f"{name} in {path} has {entry.size:,} bytes; its manifest says {shown(listed)}: the file is "
                "damaged or was changed; export or copy the model again"
            )
    total = sum(entry.size for entry in entries.values())
    if total > MAX_BYTES:
        raise ModelError(f"{path} holds {total:,} bytes; at most {MAX_BYTES:,} are read")


def _with_manifest(entries: dict[str, _Entry], path: Path) -> dict[str, _Entry]:
    if MANIFEST not in entries:
        raise ModelError(
            f"{path} has no {MANIFEST}; make a model with `edgefill export RUN --out MODEL.edgefill`"
        )
    if entries[MANIFEST].size > _MAX_MANIFEST_BYTES:
        raise ModelError(
            f"{MANIFEST} in {path} has {entries[MANIFEST].size:,} bytes; at most {_MAX_MANIFEST_BYTES:,} are "
            "read"
        )
    return entries
