"""Where engines are kept: in folders that only their user may enter."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from edgefill.errors import EngineError, OutputError
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import cache_folder

_OTHERS = 0o077


def engines_folder(bundle: Bundle) -> Path:
    """Where the engines of ``bundle`` are kept: other weights, another folder."""
    cache = cache_folder()
    if cache is None:
        raise OutputError("there is no home folder to keep engines in; set EDGEFILL_CACHE_DIR to a folder")
    digest = bundle.manifest.digest
    name = re.sub(r"[^\w.-]", "_", bundle.manifest.name)[:40]
    return cache / "engines" / f"{name}-{digest[:12]}"


def make_folder(folder: Path) -> os.stat_result:
    """What ``folder`` is, which is made for this user alone where it is absent. Raises OutputError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder.lstat()
    except OSError as error:
        raise OutputError(
            f"cannot keep engines in {folder}: {error.strerror}; choose a folder that can be written "
            "(EDGEFILL_CACHE_DIR or --out)"
        ) from error


def keep_private(folder: Path) -> None:
    """Makes ``folder`` for this user alone. Raises EngineError where others could put engines there."""
    found = make_folder(folder)
    if os.name == "nt":
        return  # a user's folders are closed to others there
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EngineError(
            f"{folder} is a link or belongs to user {found.st_uid}; engines are loaded only from a folder of "
            f"this user ({os.geteuid()}): remove it, or set EDGEFILL_CACHE_DIR"
        )
    if found.st_mode & _OTHERS:
        raise EngineError(
            f"{folder} has mode {stat.S_IMODE(found.st_mode):04o}, expected 0700: others could put engines "
            f"there, which execute when they are loaded; if nobody did, run: chmod 700 {folder}"
        )
