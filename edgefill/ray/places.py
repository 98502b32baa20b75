"""Files where pyarrow finds them: on a disk that all machines share, or in a bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow.fs as fs

from edgefill.errors import InputError, OutputError
from edgefill.files import write_atomically
from edgefill.pictures.images import SUFFIXES


class Place(NamedTuple):
    """A file or a folder."""

    files: fs.FileSystem
    path: str

    @classmethod
    def named(cls, name: str, files: fs.FileSystem | None = None) -> Place:
        """Of a path, or of a URI such as s3://bucket/folder unless it is in ``files``. Raises InputError."""
        try:
            if files is not None:
                return cls(files, files.normalize_path(name))
            return cls(*fs.FileSystem.from_uri(name if "://" in name else str(Path(name).absolute())))
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot find {name!r}: {error}; expected a path, or a URI such as s3://bucket/folder; for "
                "other places give a pyarrow filesystem"
            ) from error

    def read(self) -> bytes:
        """All of the file. Raises InputError."""
        try:
            with self.files.open_input_stream(self.path) as file:
                content: bytes = file.read()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {self.path!r}: {error}; check that it is there") from error
        return content

    def write(self, content: bytes) -> None:
        """Puts ``content`` there, whole or not at all: a bucket shows a file when it is closed.

        Raises OutputError.
        """
        if isinstance(self.files, fs.LocalFileSystem):
            write_atomically(self.path, content)
            return
        try:
            with self.files.open_output_stream(self.path) as file:
                file.write(content)
        except (OSError, ValueError) as error:
            raise OutputError(f"cannot write {self.path!r}: {error}; check the rights to it") from error

    def below(self, name: str) -> Place:
        return Place(self.files, f"{self.path.rstrip('/')}/{name}")

    def names(self) -> Iterator[str]:
        """Of all files below a folder, none hidden; nothing where it is not there. Raises InputError."""
        selector = fs.FileSelector(self.path, allow_not_found=True, recursive=True)
        try:
            found = self.files.get_file_info(selector)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot list {self.path!r}: {error}; check the rights to it") from error
        root = PurePosixPath(self.path)
        for each in found:
            name = PurePosixPath(each.path).relative_to(root)
            if each.type == fs.FileType.File and not any(part.startswith(".") for part in name.parts):
                yield str(name)

    @property
    def is_folder(self) -> bool:
        return bool(self.files.get_file_info(self.path).type == fs.FileType.Directory)


class Input(NamedTuple):
    """A picture to be completed, and its mask where each has its own."""

    path: str
    name: str  # below the folder that was given
    mask: str | None = None


def find_inputs(sources: Iterable[Place], out: Place | None) -> list[Input]:
    """Every picture of ``sources``, folders replaced by those below them but for what is in ``out``.

    What is no folder is taken as it is, and reading it says what is wrong. Raises InputError where there is
    nothing, and where two would be completed to one file.
    """
    found = []
    for source in sources:
        if not source.is_folder:
            found.append(Input(source.path, PurePosixPath(source.path).name))
            continue
        inside = f"{out.path.rstrip('/')}/" if out else None
        for name in sorted(source.names()):
            path = source.below(name).path
            if _is_picture(name) and not (inside and path.startswith(inside)):
                found.append(Input(path, name))
    if not found:
        raise InputError(
            f"there is no picture: expected files ending in {' '.join(sorted(SUFFIXES))}; name a folder that "
            "has some, or the files themselves"
        )
    _refuse_clashes(found)
    return found


def with_masks(inputs: Sequence[Input], masks: Place) -> list[Input]:
    """``inputs``, each with the mask of its name but for the suffix, in its subfolder of ``masks`` or there.

    One that has none fails when it is read. Raises InputError for one that has several.
    """
    named: dict[str, list[str]] = {}
    for name in filter(_is_picture, masks.names()):
        named.setdefault(_stem(name), []).append(name)
    return [each._replace(mask=masks.below(_mask_of(each, named)).path) for each in inputs]


def _mask_of(picture: Input, named: dict[str, list[str]]) -> str:
    stem = _stem(picture.name)
    found = named.get(stem) or named.get(PurePosixPath(stem).name) or [f"{stem}.png"]
    if len(found) > 1:
        raise InputError(
            f"cannot choose a mask for {picture.name!r}: {' and '.join(map(repr, found))} have its name; "
            "expected one; leave only one"
        )
    return found[0]


def output_name(name: str) -> str:
    """Of the completed picture."""
    return f"{_stem(name)}.png"


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _refuse_clashes(inputs: Sequence[Input]) -> None:
    twice = [name for name, count in Counter(output_name(each.name) for each in inputs).items() if count > 1]
    if twice:
        both = [each.path for each in inputs if output_name(each.name) == twice[0]]
        raise InputError(
            f"{' and '.join(map(repr, both))} would both be written to {twice[0]!r}; expected one picture "
            "for each output; rename one, or run them apart"
        )
