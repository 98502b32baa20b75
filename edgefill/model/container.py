"""The files of a model as they lie on disk: in a folder, or in one zip of it.

Nothing of them is read before its size is known, and nothing but plain files of the names that a model has.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edgefill.errors import ModelError, OutputError
from edgefill.files import standing_folder, write_atomically, write_folder

MANIFEST = "manifest.json"
SIGNATURE = f"{MANIFEST}.sig"  # of somebody who vouches for the manifest, where there is one
_MOST_BYTES = {MANIFEST: 1024 * 1024, SIGNATURE: 16 * 1024}
_MOST_EXPANSION = 50  # times: weights hardly shrink, and no graph to a fiftieth
ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
    OSError, OverflowError, RuntimeError, UnicodeError, ValueError,
)  # fmt: skip


class Entry(NamedTuple):
    """One file of a bundle that is not read yet."""

    size: int
    read: Callable[[], bytes]


@contextmanager
def opened(path: Path, graphs: Set[str]) -> Iterator[dict[str, Entry]]:
    """The files of the bundle at ``path`` by name: its manifest, and those of ``graphs`` and a signature.

    Raises ModelError, and those of ZIP_ERRORS where it is damaged.
    """
    place = standing_folder(path)
    if place.is_dir():
        yield _checked(_of_folder(place, graphs), path)
        return
    if not path.exists():
        raise ModelError(f"{path} does not exist; `edgefill models` lists the models that are there")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} is no edgefill model (neither a folder nor a zip); make one with `edgefill export`"
        )
    with zipfile.ZipFile(path) as archive:
        yield _checked(_of_zip(archive, path, graphs), path)


def _of_folder(path: Path, graphs: Set[str]) -> dict[str, Entry]:
    entries = {}
    for file in sorted(path.iterdir()):
        _check_name(file.name, path, graphs)
        if file.is_symlink() or not file.is_file():
            raise ModelError(f"{file} is a link or no file; expected the plain files of a model")
        entries[file.name] = Entry(file.stat().st_size, file.read_bytes)
    return entries


def _of_zip(archive: zipfile.ZipFile, path: Path, graphs: Set[str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for entry in archive.infolist():
        _check_name(entry.filename, path, graphs)
        if entry.filename in entries:
            raise ModelError(f"{path} holds {entry.filename!r} twice; export the model again")
        if (entry.external_attr >> 16) & 0o170000 == 0o120000:
            raise ModelError(f"{path} holds the link {entry.filename!r}; expected plain files")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(
                f"{path} holds {entry.filename!r} compressed by method {entry.compress_type}; expected it "
                "stored, as it is exported, or deflated"
            )
        entries[entry.filename] = Entry(entry.file_size, partial(archive.read, entry))
    claimed, real = sum(entry.size for entry in entries.values()), path.stat().st_size
    if claimed > _MOST_EXPANSION * real + _MOST_BYTES[MANIFEST]:
        raise ModelError(
            f"{path} has {real:,} bytes and claims to hold {claimed:,}; expected at most "
            f"{_MOST_EXPANSION} times as many; export or copy the model again"
        )
    return entries


def _check_name(name: str, path: Path, graphs: Set[str]) -> None:
    if name not in _MOST_BYTES and name not in graphs:
        raise ModelError(f"{path} holds the file {name!r}; expected {MANIFEST} and the graphs of a model")


def _checked(entries: dict[str, Entry], path: Path) -> dict[str, Entry]:
    if MANIFEST not in entries:
        raise ModelError(
            f"{path} has no {MANIFEST}; make a model with `edgefill export RUN --out MODEL.edgefill`"
        )
    for name, most in _MOST_BYTES.items():
        if name in entries and entries[name].size > most:
            raise ModelError(f"{name} in {path} has {entries[name].size:,} bytes; at most {most:,} are read")
    return entries


def write(path: Path, contents: Mapping[str, bytes]) -> None:
    """Writes a bundle to ``path``, whole or not at all: a zip where that has a suffix, else a folder.

    Zips are stored and without dates: equal contents give equal bytes. Raises OutputError.
    """
    if path.suffix:
        write_atomically(path, _zip_bytes(contents))
        return
    if path.exists() and not (path.is_dir() and (path / MANIFEST).exists()):
        raise OutputError(f"cannot write the model to {path}: something else lies there; choose another name")
    write_folder(path, contents)


def _zip_bytes(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
