"""What a training leaves to look at: stats.jsonl, sheets of samples, and both in TensorBoard."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from edgefill.errors import OutputError
from edgefill.files import atomic_writer
from edgefill.sheets import sheet
from edgefill.training.trainer import Losses

STATS = "stats.jsonl"


class Log:
    """Opened for ``run`` at ``step``: what an interrupted training wrote about later steps is taken away."""

    def __init__(self, run: Path, step: int) -> None:
        self.run = run
        _truncate(run / STATS, step)
        self._stats = (run / STATS).open("a", encoding="utf-8")
        self._board = SummaryWriter(run / "tensorboard", purge_step=step)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()
        self._stats.close()

    def losses(self, step: int, epoch: int, losses: Losses) -> None:
        """One line of stats.jsonl; on the disk after ``flush``."""
        line = {"step": step, "epoch": epoch, "loss_D": losses.discriminator, "loss_G": losses.generator}
        self._stats.write(json.dumps(line) + "\n")
        self._board.add_scalar("loss/D", losses.discriminator, step)
        self._board.add_scalar("loss/G", losses.generator, step)

    def samples(self, step: int, epoch: int, pictures: np.ndarray) -> None:
        """A sheet of ``pictures [N, C, S, S]`` in [-1, 1]."""
        page = sheet(pictures)
        with atomic_writer(self.run / "samples" / f"epoch-{epoch:04d}.png") as file:
            page.save(file, "PNG")
        self._board.add_image("samples", np.asarray(page), step, dataformats="HWC")

    def flush(self) -> None:
        """Everything so far on the disk, so that a checkpoint never knows more steps than stats.jsonl."""
        try:
            self._stats.flush()
            os.fsync(self._stats.fileno())
        except OSError as error:
            raise OutputError(
                f"cannot write {self._stats.name}: {error.strerror}; free some space"
            ) from error
        self._board.flush()


def _truncate(stats: Path, step: int) -> None:
    """Cuts the lines after ``step``, and a last one that a killed training left half-written."""
    if not stats.exists():
        return
    kept = 0
    with stats.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
            kept += len(line)
    os.truncate(stats, kept)
