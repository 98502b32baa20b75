"""A model on disk: a manifest and the ONNX graphs it vouches for, in a folder or in one zip of it.

Reading a bundle never unpickles anything: the manifest is JSON, every file's sha256 is checked, and each
graph is looked through (``edgefill.model.onnx_file``) before a runtime sees it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgefill.errors import ModelError
from edgefill.limits import shown
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH
from edgefill.model.container import MANIFEST, SIGNATURE, ZIP_ERRORS, Entry, opened, write
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

_FIT_OUTPUTS = {"loss": "fit", "grad_z": "grad_z_fit"}  # as the step's file calls them


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

    def __init__(
        self,
        manifest: Manifest,
        path: Path,
        files: Mapping[str, bytes],
        statement: bytes = b"",
        signature: bytes = b"",
    ) -> None:
        self.manifest = manifest
        self.path = path
        self.statement = statement  # The manifest as it stands there, which is what somebody signs.
        self.signature = signature  # Of that, in OpenSSH's format; nobody has compared them yet.
        self._files = files
        self._widened: dict[str, tuple[bytes, int]] = {}  # by precision

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """The bundle at ``path``, a folder or a zip, with every file's sha256 checked. Raises ModelError."""
        path = Path(path)
        try:
            with opened(path, _ALL_FILES) as entries:
                statement = entries.pop(MANIFEST).read()
                signature = entries.pop(SIGNATURE).read() if SIGNATURE in entries else b""
                manifest = Manifest.from_json(statement, str(path))
                check_known(manifest, statement, str(path))
                _check_names(manifest, set(entries), path)
                _check_sizes(manifest, entries, path)
                files = {name: entry.read() for name, entry in entries.items()}
        except ZIP_ERRORS as error:
            raise ModelError(f"{path} cannot be read as a model: {error}; export or copy it again") from error
        for name, content in files.items():
            found, expected = hashlib.sha256(content).hexdigest(), manifest.files[name].get("sha256")
            if found != expected:
                raise ModelError(
                    f"{name} in {path} has sha256 {found[:12]}…; its manifest says {str(expected)[:12]}…: "
                    "the file is damaged or was changed; export or copy the model again"
                )
        return cls(manifest, path, files, statement, signature)

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
        return self._wide_fit(precision)[1]

    def _wide_fit(self, precision: str | None) -> tuple[bytes, int]:
        """The fit of WIDE and how many features it has, made once; b"" and 0 where there is none."""
        precision, latent = precision or self.manifest.precision, self.manifest.latent
        if precision not in self._widened:
            wide = b"", 0
            if latent and self.manifest.has_encoder:
                wide = widened(self.graph(FIT, precision), latent.z_dim, latent.prior)
            self._widened[precision] = wide
        return self._widened[precision]

    def shapes(self, name: str, precision: str | None = None) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Inputs and outputs of the graph ``name``, those of WIDE among them."""
        features = self.features(precision) if name in WIDE.values() else 0
        return graph_signatures(self.manifest, features)[name]

    def graphs(self, precision: str | None = None) -> tuple[str, ...]:
        """The graphs that completing runs, those of WIDE first where there are such."""
        wide = WIDE.values() if self.features(precision) else ()
        return (*wide, *self.manifest.graphs)

    def simplest_graph(self, precision: str | None = None) -> str:
        """The one that shows soonest whether a runtime works here, of those that the default search runs."""
        if self.manifest.interface:
            return COMPLETION
        return WIDE["generator"] if self.features(precision) else "generator"

    def precision_of(self, name: str, wanted: str | None = None) -> str:
        """What the graph ``name`` computes in where ``wanted`` is asked for; the encoder has one form."""
        return self.manifest.precision if name == ENCODER or wanted is None else wanted

    def graph(self, name: str, precision: str | None = None) -> bytes:
        """The ONNX model ``name``, a key of ``graph_signatures``, checked to be what such a graph must be.

        ``precision`` is the manifest's unless given; the encoder is always in that. Raises ModelError where
        the graph is not there in it.
        """
        if name in WIDE.values() and self.features(precision):
            wide, _ = self._wide_fit(precision)
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
    write(path, contents)
    return manifest


def write_signed(path: str | Path, bundle: Bundle, signature: bytes) -> None:
    """Writes ``bundle`` to ``path`` as it is, with this ``signature`` of its manifest. Raises OutputError."""
    write(Path(path), {MANIFEST: bundle.statement, SIGNATURE: signature, **bundle._files})


def annotate(path: str | Path, **changes: Any) -> Manifest:
    """Writes the bundle at ``path`` again with ``changes`` of its manifest, which is returned; see there."""
    bundle = Bundle.open(path)
    graphs = {name.removesuffix(".onnx"): content for name, content in bundle._files.items()}
    return write_bundle(path, dataclasses.replace(bundle.manifest, **changes), graphs)


def _check_names(manifest: Manifest, names: set[str], path: Path) -> None:
    """Raises ModelError unless ``names`` are what such a model has and what its manifest lists."""
    own = _files_of(manifest)
    if set(manifest.files) != names or names - own.optional not in (own.graphs, own.graphs | own.halves):
        raise ModelError(
            f"{path} holds {sorted(names)} and its manifest lists {sorted(manifest.files)}; "
            f"expected {sorted(own.graphs)} in both; export the model again"
        )


def _check_sizes(manifest: Manifest, entries: Mapping[str, Entry], path: Path) -> None:
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
