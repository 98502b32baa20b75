"""Files, and folders of them, that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgefill.errors import OutputError

_PREFIX, _SUFFIX = ".edgefill-", ".tmp"  # of temporaries: shorter than a name that nearly fills what fits
_ABANDONED = 24 * 3600  # seconds after which a temporary is nobody's, where the system cannot say whose it is
_cleaned: set[Path] = set()  # folders that this process has looked through


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears under ``path`` only when the block has ended without an exception.

    It is written beside its place, flushed to the disk and renamed, so that a crash at any moment leaves
    the old file or the new one. Missing parent folders are made. What writers that were killed left in its
    folder goes away once in a process. Raises OutputError where the file cannot be written; an exception of
    the block itself passes through.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        _refuse_what_is_no_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _cleaned:
            _cleaned.add(path.parent)
            remove_stale_temporaries(path.parent)
        temporary, file = _new_temporary(path.parent)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # It renames nothing that is open, and knows no locks.
            temporary.replace(path)  # while it is locked: without its lock it may be taken for stale
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        if temporary:
            with suppress(OSError):
                temporary.unlink()


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Writes ``content`` (text as UTF-8) to ``path``, whole or not at all. Raises OutputError."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Writes a folder of files, in place of the one at ``path`` if there is one, whole or not at all.

    The old folder is set aside under a hidden name while the new one takes its place. A writer that is killed
    just then leaves it there, where ``standing_folder`` finds it. Writers of one folder wait for each other.
    Raises OutputError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent):
            _replace_folder(path, contents)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error


def _replace_folder(path: Path, contents: Mapping[str, bytes]) -> None:
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
    finally:
        if not path.exists() and aside.exists():
            aside.replace(path)
        for left in (new, aside):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits until nobody else is inside a block of the same ``folder``, where the system locks folders."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def standing_folder(path: Path) -> Path:
    """``path``, or what ``write_folder`` had set aside of it where it was killed before the new one stood."""
    aside = _set_aside(path)
    return aside if aside.is_dir() and not path.exists() else path


def _set_aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.folder.old")


def check_writable(paths: Iterable[Path]) -> None:
    """Raises OutputError where the folder of one of ``paths`` cannot be written; nothing is left behind.

    It is tried in the nearest folder above that is there. A name that is too long is its own affair.
    """
    tried: set[Path] = set()
    for path in paths:
        try:
            _refuse_what_is_no_file(path)
            folder = path.parent
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            if folder not in tried:
                tried.add(folder)
                with tempfile.TemporaryFile(dir=folder, prefix=_PREFIX):
                    pass
        except OSError as error:
            raise OutputError(_explain(path, error)) from error


def remove_stale_temporaries(folder: Path) -> None:
    """Removes what writers that were killed left in ``folder``; those of living processes stay.

    A writer holds a lock on its temporary, which the system gives back when the process ends, wherever that
    runs: numbers of processes mean nothing in another container.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                with suppress(OSError):  # somebody else's, or gone by now
                    _remove_if_stale(Path(entry.path))


def _remove_if_stale(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if _locked(descriptor) or time.time() - os.fstat(descriptor).st_mtime > _ABANDONED:
            temporary.unlink()
    finally:
        os.close(descriptor)


def _new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """A new file in ``folder``, open and locked, under a name that nobody else has.

    In the moment before it has its lock, somebody who looks for stale ones may take it for one, and hold or
    have removed it: then another is made.
    """
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        file = path.open("xb")
        with suppress(BlockingIOError):
            _locked(file.fileno())
            if os.fstat(file.fileno()).st_nlink:
                return path, file
        file.close()


def _locked(descriptor: int) -> bool:
    """Locks the file; False where the system knows no locks. Raises BlockingIOError where it is locked."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        return False
    return True


def _refuse_what_is_no_file(path: Path) -> None:
    """Raises OSError for a folder, a device or a pipe, which a rename would replace or fail at."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            return
        raise
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder has that name")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device, pipe or socket")


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
        return f"cannot write {path}: {reason}{_free(path.parent)}; free some or choose another folder"
    if error.errno == errno.ENAMETOOLONG:
        name = max(path.parts, key=len)
        return f"cannot write {name[:40]}…: a name of {len(name)} characters is too long; shorten it"
    return f"cannot write {path}: {reason}; choose a folder that can be written"


def _free(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
    except OSError:
        return ""
