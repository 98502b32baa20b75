"""A model on disk: a manifest and the ONNX graphs it vouches for, in a folder or in one zip of it.

Reading a bundle never unpickles anything: the manifest is JSON, every file's sha256 is checked, and each
graph is looked through (``edgefill.onnx_file``) before a runtime sees it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edgefill.errors import ModelError, OutputError
from edgefill.files import atomic_writer, write_atomically
from edgefill.onnx_file import MAX_BYTES, Shape, check_onnx, extracted

FORMAT = 3
MANIFEST = "manifest.json"
GRAPHS = ("generator", "discriminator", "step")
COMPLETION = "completion"  # All of a model that completes in one pass.
STRIDE = 4  # Height and width of what goes through such a model are multiples of it,
LARGEST_SIDE = 832  # and at most so large: larger pictures go through it in tiles.
ENCODER = "encoder"  # A model may have one, in the manifest's precision.
FIT = "fit"  # The step without D: a part of the step's file.
HALF = ".fp16"  # Ends the name of a graph that computes in fp16 beside its fp32 form.
INT8 = "int8"  # What only a network of one pass is exported in.
HALF_GRAPHS = ("generator", "step")  # What a search needs; the whole of D is there for people who look.
_MAX_MANIFEST_BYTES = 1024 * 1024
_ENCODER_FILE = f"{ENCODER}.onnx"
_FIT_OUTPUTS = {"loss": "fit", "grad_z": "grad_z_fit"}  # as the step's file calls them
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
    OSError, OverflowError, RuntimeError, UnicodeError, ValueError,
)  # fmt: skip


class _Kind(NamedTuple):
    """The files of a kind of model."""

    graphs: frozenset[str]
    halves: frozenset[str]  # beside them where it computes in both precisions
    optional: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        return self.graphs | self.halves | self.optional


def _files(names: Iterable[str], ending: str = "") -> frozenset[str]:
    return frozenset(f"{name}{ending}.onnx" for name in names)


_KINDS = {
    "dcgan": _Kind(_files(GRAPHS), _files(HALF_GRAPHS, HALF), _files([ENCODER])),
    "glcic": _Kind(_files([COMPLETION]), _files([COMPLETION], HALF)),
}


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; ``files`` is filled in when it is written."""

    name: str
    z_dim: int  # 0 where there is no latent.
    channels: int
    height: int  # Of the pictures that G draws, or that a network of one pass was trained on.
    width: int
    kind: str = "dcgan"  # Or "glcic".
    block: int = 8  # Side of the pixel blocks whose means lowres completion fits.
    precision: str = (
        "fp32"  # Type the graphs compute in; their inputs and outputs are float32 in either case.
    )
    weights: str = "fp32"  # Type the weights are stored in.
    opset: int = 18
    prior: str = "uniform"  # Distribution of z in training, on [-1, 1].
    picture_range: tuple[float, float] = (-1.0, 1.0)
    licence: str = "unknown"
    origin: str = "unknown"
    proof: dict[str, float] = field(default_factory=dict)
    edgefill: str = ""
    format: int = FORMAT
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder finds a first z."""
        return _ENCODER_FILE in self.files

    @property
    def digest(self) -> str:
        """The sha256 of the graph that completes, which names the weights."""
        main = "step" if self.kind == "dcgan" else COMPLETION
        return str(self.files.get(f"{main}.onnx", {}).get("sha256", ""))

    @property
    def simplest_graph(self) -> str:
        """The one that shows soonest whether a runtime works here."""
        return "generator" if self.kind == "dcgan" else COMPLETION

    def check_latent(self, doing: str) -> None:
        """Raises ModelError where there is no latent for ``doing`` something, such as "draw samples from"."""
        if not self.z_dim:
            raise ModelError(
                f"cannot {doing} {self.name}: it completes in one pass and has no latent; expected a dcgan, "
                "such as faces64; `edgefill models` lists what is here"
            )

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the pictures that G makes."""
        return self.channels, self.height, self.width

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Manifest:
        """The manifest in ``text``. Raises ModelError that names the first key that is wrong."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"the manifest of {where} is no JSON: {error}; export the model again"
            ) from error
        if not isinstance(values, dict):
            raise ModelError(f"the manifest of {where} is a {type(values).__name__}; expected an object")
        if values.get("format") != FORMAT:
            raise ModelError(
                f"{where} has bundle format {values.get('format')!r}; this edgefill reads {FORMAT}; "
                "export the model again with this version"
            )
        known = {item.name: item for item in dataclasses.fields(cls)}
        for key in values.keys() - known.keys():
            raise ModelError(f"the manifest of {where} has the unknown key {key!r}")
        for key, item in known.items():
            _check_value(key, values.get(key), item.type, where)
        if values["kind"] not in _KINDS:
            raise ModelError(
                f"{where} is a model of the kind {values['kind']!r}; this edgefill knows {', '.join(_KINDS)}"
            )
        if (values["z_dim"] > 0) != (values["kind"] == "dcgan"):
            raise ModelError(
                f"the manifest of {where} has z_dim = {values['z_dim']}; expected a latent for a dcgan only"
            )
        values["picture_range"] = tuple(values["picture_range"])
        return cls(**values)


def _check_value(key: str, value: Any, annotation: Any, where: str) -> None:
    expected = {"str": str, "int": int}.get(annotation)
    if annotation == "int" and (
        isinstance(value, bool) or not isinstance(value, int) or not (key != "z_dim") <= value <= 1 << 20
    ):
        raise ModelError(f"the manifest of {where} has {key} = {value!r}; expected a positive whole number")
    if expected is str and not isinstance(value, str):
        raise ModelError(f"the manifest of {where} has {key} = {value!r}; expected a text")
    if annotation.startswith("dict") and not (
        isinstance(value, dict)
        and (key != "files" or all(isinstance(entry, dict) for entry in value.values()))
    ):
        raise ModelError(f"the manifest of {where} has {key} = {value!r}; expected an object")
    if annotation.startswith("tuple") and value != [-1.0, 1.0]:
        raise ModelError(f"the manifest of {where} has {key} = {value!r}; expected [-1.0, 1.0]")


def graph_signatures(manifest: Manifest) -> dict[str, tuple[dict[str, Shape], dict[str, Shape]]]:
    """Inputs and outputs of each graph of a bundle: names and shapes, "N" for the batch.

    A network of one pass takes pictures of any height "H" and width "W" that are multiples of STRIDE.
    """
    if manifest.kind == "glcic":
        seen: Shape = ("N", manifest.channels, "H", "W")
        return {COMPLETION: ({"picture": seen, "known": ("N", 1, "H", "W")}, {"completed": seen})}
    z: Shape = ("N", manifest.z_dim)
    picture: Shape = ("N", *manifest.picture_shape)
    weight: Shape = ("N", 1, manifest.height, manifest.width)
    blocks: Shape = ("N", 1, manifest.height // manifest.block, manifest.width // manifest.block)
    one: Shape = ("N",)
    step_inputs = {
        "z": z, "target": picture, "weight": weight, "block_weight": blocks, "power": one, "lam": one,
        "anchor": z, "pull": one,
    }  # fmt: skip
    step_outputs = {"loss": one, "grad_z": z, "generated": picture, "contextual": one, "perceptual": one}
    fit_inputs = {name: shape for name, shape in step_inputs.items() if name != "lam"}
    fit_outputs = {name: shape for name, shape in step_outputs.items() if name != "perceptual"}
    return {
        "generator": ({"z": z}, {"generated": picture}),
        "discriminator": ({"picture": picture}, {"logit": one}),
        "step": (step_inputs, step_outputs),
        FIT: (fit_inputs, fit_outputs),
        ENCODER: ({"picture": picture, "known": weight}, {"z": z}),
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
            files = _read_folder(path) if path.is_dir() else _read_zip(path)
        except _ZIP_ERRORS as error:
            raise ModelError(f"{path} cannot be read as a model: {error}; export or copy it again") from error
        manifest = Manifest.from_json(files.pop(MANIFEST), str(path))
        kind = _KINDS[manifest.kind]
        named = set(files) - kind.optional
        if set(manifest.files) != set(files) or named not in (kind.graphs, kind.graphs | kind.halves):
            raise ModelError(
                f"{path} holds {sorted(files)} and its manifest lists {sorted(manifest.files)}; "
                f"expected {sorted(kind.graphs)} in both; export the model again"
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
        halves = _KINDS[self.manifest.kind].halves
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
            raise ModelError(
                f"{self.path} holds {has}; export the model again" + " with --precision both" * beside
            )
        content = self._files[file]
        inputs, outputs = _file_signature(self.manifest, name)
        check_onnx(content, name=f"{file} in {self.path}", inputs=inputs, outputs=outputs)
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
    temporary = path.with_name(f".{path.name}.folder.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, content in contents.items():
            write_atomically(temporary / name, content)
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the model to {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    if not any(name in kind.all for kind in _KINDS.values()):
        raise ModelError(f"{path} holds the file {name!r}; expected {MANIFEST} and the graphs of a model")
    return MAX_BYTES


def _with_manifest(files: dict[str, bytes], path: Path) -> dict[str, bytes]:
    if MANIFEST not in files:
        raise ModelError(
            f"{path} has no {MANIFEST}; make a model with `edgefill export RUN --out MODEL.edgefill`"
        )
    return files
