"""A filesystem that kills who reads one of its files, the first time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem


class Deadly(LocalFileSystem):
    """That of this machine; ``log`` gets a line for each file that is opened."""

    def __init__(self, victim: str, log: str) -> None:
        super().__init__(auto_mkdir=True)
        self.victim, self.log = victim, log

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        with Path(self.log).open("a") as log:
            log.write(f"{os.getpid()} {mode} {path}\n")
        if Path(path).name == self.victim:
            self._kill_once()
        return super()._open(path, mode, **options)

    def _kill_once(self) -> None:
        try:
            os.close(os.open(f"{self.log}.killed", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def deadly(victim: str, log: Path) -> pyarrow.fs.FileSystem:
    """As pyarrow sees it."""
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(Deadly(victim, str(log))))
