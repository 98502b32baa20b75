"""What a training leaves to look at: stats.jsonl, sheets of samples, and both in TensorBoard."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from edgefill.errors import OutputError
from edgefill.files import atomic_writer
from edgefill.pictures.sheets import sheet
from edgefill.training.stage import Progress

STATS = "stats.jsonl"


class Log:
    """Opened for ``run`` after ``step`` steps: what an interrupted training wrote about later ones goes away.

    Every method raises OutputError where the disk is full.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.run = run
        with _writing(run):
            _truncate(run / STATS, step)
            self._stats = (run / STATS).open("ab", buffering=0)
            self._board = SummaryWriter(run / "tensorboard", purge_step=step + 1)

    def __enter__(self) -> Log:
        self._hook, threading.excepthook = threading.excepthook, self._ignore_full_disk
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stats.close()
        try:
            with _writing(self.run) if error is None else suppress(OSError):
                self._board.close()
        finally:
            threading.excepthook = self._hook

    def _ignore_full_disk(self, failure: threading.ExceptHookArgs) -> None:
        """TensorBoard's thread prints what the next call of ours raises, too."""
        if not issubclass(failure.exc_type, OSError):
            self._hook(failure)

    def losses(self, progress: Progress) -> None:
        """One line of stats.jsonl."""
        losses = {f"loss_{name}": value for name, value in progress.losses.items()}
        line = {"step": progress.step, "epoch": progress.epoch, **losses}
        with _writing(self.run):
            self._stats.write(json.dumps(line).encode() + b"\n")
            for name, value in losses.items():
                self._board.add_scalar(name, value, progress.step)

    def samples(self, progress: Progress, pictures: np.ndarray) -> None:
        """A sheet of ``pictures [N, C, S, S]`` in [-1, 1]."""
        page = sheet(pictures)
        with atomic_writer(self.run / "samples" / f"epoch-{progress.epoch:04d}.png") as file:
            page.save(file, "PNG")
        with _writing(self.run):
            self._board.add_image("samples", np.asarray(page), progress.step, dataformats="HWC")

    def flush(self) -> None:
        """Everything so far on the disk, so that a checkpoint never knows more steps than stats.jsonl."""
        with _writing(self.run):
            os.fsync(self._stats.fileno())
            self._board.flush()


class Silence(AbstractContextManager["Silence"]):
    """The log of a process that trains with others: the first one writes."""

    def __exit__(self, *error: object) -> None: ...

    def losses(self, progress: Progress) -> None: ...

    def samples(self, progress: Progress, pictures: np.ndarray) -> None: ...

    def flush(self) -> None: ...


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(run).free / 1e6
        raise OutputError(
            f"cannot write the log in {str(run)!r}: {error.strerror} ({free:.1f} MB free)"
        ) from error


def _is_until(line: bytes, step: int) -> bool:
    """Whether ``line`` is one of the log, of ``step`` or before; one that is damaged is not."""
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _truncate(stats: Path, step: int) -> None:
    """Cuts the lines after ``step``, and those from one on that is damaged or half-written."""
    if not stats.exists():
        return
    kept = 0
    with stats.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not _is_until(line, step):
                break
            kept += len(line)
    os.truncate(stats, kept)
