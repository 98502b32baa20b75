"""Files, and folders of them, that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgefill.errors import OutputError

_TEMPORARY = re.compile(r"^\.(?P<name>.+)\.(?P<pid>\d+)\.tmp$")


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears under ``path`` only when the block has ended without an exception.

    It is written beside its place, flushed to the disk and renamed, so that a crash at any moment leaves
    the old file or the new one. Missing parent folders are made. Raises OutputError where the file cannot
    be written; an exception of the block itself passes through.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(path.parent)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Writes ``content`` (text as UTF-8) to ``path``, whole or not at all. Raises OutputError."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Writes a folder of files, in place of the one at ``path`` if there is one, whole or not at all.

    The old folder is set aside under a hidden name while the new one takes its place. A writer that is killed
    just then leaves it there, where ``standing_folder`` finds it. Raises OutputError.
    """
    new, aside = path.with_name(f".{path.name}.folder.tmp"), _set_aside(path)
    shutil.rmtree(new, ignore_errors=True)
    try:
        for name, content in contents.items():
            write_atomically(new / name, content)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)
        new.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        if not path.exists() and aside.exists():
            aside.replace(path)
        for left in (new, aside):
            shutil.rmtree(left, ignore_errors=True)


def standing_folder(path: Path) -> Path:
    """``path``, or what ``write_folder`` had set aside of it where it was killed before the new one stood."""
    aside = _set_aside(path)
    return aside if aside.is_dir() and not path.exists() else path


def _set_aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.folder.old")


def remove_stale_temporaries(folder: Path) -> None:
    """Removes what writers that were killed left in ``folder``; those of living processes stay."""
    for entry in folder.glob(".*.tmp"):
        match = _TEMPORARY.match(entry.name)
        if match and not _is_alive(int(match["pid"])):
            entry.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle for a folder; its rename is durable by itself.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free
        return f"cannot write {path}: {reason} ({free / 1e6:.1f} MB free); free some or choose another folder"
    if error.errno == errno.ENAMETOOLONG:
        return (
            f"cannot write {path.name[:40]}…: a name of {len(path.name)} characters is too long; shorten it"
        )
    return f"cannot write {path}: {reason}; choose a folder that can be written"
