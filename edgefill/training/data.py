"""A folder of pictures as one array in memory, and the batches that training takes from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgefill.errors import InputError
from edgefill.pictures.images import find_pictures, read_picture
from edgefill.pictures.sheets import flat
from edgefill.training.config import CONFIG

_OF_A_RUN = ("samples", "tensorboard", "encoder")  # folders that a run has beside its config.json


@dataclass(frozen=True, eq=False)
class Pictures:
    """``values [N, C, S, S]`` uint8, and each file that was skipped with the reason."""

    values: np.ndarray
    skipped: tuple[tuple[Path, str], ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and values."""
        return hashlib.sha256(repr(self.values.shape).encode() + self.values.tobytes()).hexdigest()


def load_pictures(
    folder: Path,
    size: int,
    channels: int | None = None,
    *,
    track: Callable[[list[Path]], Iterable[Path]] = iter,
) -> Pictures:
    """All pictures below ``folder``, cropped to the central square and scaled to ``size``.

    ``channels`` None means grey if all pictures are, else RGB. Transparency becomes white. What cannot be
    read, or is gone when its turn comes, is skipped; ``track`` may wrap the list of files to show progress.
    Raises InputError where no picture is left.
    """
    if not folder.is_dir():
        raise InputError(f"cannot train on {str(folder)!r}: no such folder; expected a folder of pictures")
    squares, skipped = [], []
    for file in track([file for file in find_pictures([folder]) if not _is_of_a_run(file)]):
        try:
            squares.append(_square(file, size))
        except InputError as error:
            skipped.append((file, str(error)))
    if not squares:
        raise InputError(
            f"cannot train on {str(folder)!r}: none of its {len(skipped)} pictures can be read; "
            f"the first: {skipped[0][1]}"
        )
    mode = {1: "L", 3: "RGB"}[channels or max(len(square.getbands()) for square in squares)]
    arrays = [np.atleast_3d(np.asarray(square.convert(mode))) for square in squares]
    return Pictures(np.ascontiguousarray(np.moveaxis(np.stack(arrays), -1, 1)), tuple(skipped))


def _is_of_a_run(file: Path) -> bool:
    """Whether a training wrote ``file``: the run's folder may lie among the pictures."""
    return any(
        place.name in _OF_A_RUN and (place.parent / CONFIG).is_file() for place in list(file.parents)[:3]
    )


def _square(file: Path, size: int) -> Image.Image:
    picture = read_picture(file)
    grey = picture.values.shape[2] == 1
    image = ImageOps.fit(flat(picture.to_pil()), (size, size), Image.Resampling.LANCZOS)
    return image.convert("L") if grey else image


class Batches:
    """Which pictures each step sees: every epoch all of them once, in an order and mirroring of its own.

    A pure function of the seed and the step, so that a resumed training needs no sampler state. The pictures
    that do not fill a last batch wait for another epoch; fewer pictures than a batch make a smaller one.
    """

    def __init__(self, pictures: Pictures, batch: int, seed: int, *, mirror: bool) -> None:
        self.values = pictures.values
        self.size = min(batch, len(pictures))
        self.per_epoch = len(pictures) // self.size
        self._seed, self._mirror = seed, mirror
        self._epoch = -1

    def __getitem__(self, step: int) -> np.ndarray:
        """The pictures ``[B, C, S, S]`` uint8 of a step, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            random = np.random.default_rng([self._seed, epoch])
            self._order = random.permutation(len(self.values))
            self._mirrored = random.random(len(self.values)) < 0.5 * self._mirror
            self._epoch = epoch
        chosen = self._order[position * self.size : (position + 1) * self.size]
        pictures, mirrored = self.values[chosen], self._mirrored[chosen]
        pictures[mirrored] = pictures[mirrored, :, :, ::-1]
        return pictures
