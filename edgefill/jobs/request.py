"""What is asked of a completion, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from edgefill.errors import EdgefillError, InputError
from edgefill.jobs.photograph import BLENDS, Photograph
from edgefill.limits import check
from edgefill.methods.latent.settings import SearchSettings
from edgefill.pictures.images import Picture
from edgefill.pictures.masks import MaskSpec, parse_mask

Source: TypeAlias = str | Path | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class Request:
    """What is asked of every picture of a run. Raises InputError for what cannot be asked."""

    mask: str | MaskSpec = "center"
    seed: int = 0  # of the mask, the first z and the search, afresh for each picture
    box: tuple[int, int, int, int] | None = None  # x, y, width, height; None completes the whole picture
    settings: SearchSettings | None = None  # what suits the model
    blend: str = "poisson"  # or "none"
    resize_mask: bool = False
    trace: bool = False  # keep loss and z of every step
    frames: int = 0  # keep G(z) of the start and of about this many steps, evenly spaced
    candidates: int = 1  # completions, as unlike each other as they come
    confidence: bool = False  # say of each pixel how much searches from other starts agree

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise InputError(f"cannot blend by {self.blend!r}: expected one of {', '.join(BLENDS)}")
        for name in ("candidates", "seed", "frames"):
            check(name, getattr(self, name))

    @property
    def mask_spec(self) -> MaskSpec:
        """The mask, parsed. Raises InputError."""
        if isinstance(self.mask, MaskSpec):
            return self.mask
        if not isinstance(self.mask, str):
            raise InputError(
                f"cannot use a mask of the type {type(self.mask).__name__}: expected its name or the path of "
                "a file; arrays of the model's size are taken by fill()"
            )
        return parse_mask(self.mask)


@dataclass(frozen=True, eq=False)
class Trace:
    """What each step of one picture's search found."""

    loss: np.ndarray  # [steps]
    z: np.ndarray  # [steps, Z], where that loss was


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of several completions of a picture."""

    picture: Picture
    contextual: float  # how well it fits what is known; less is better
    generated: np.ndarray  # G(z), [C, H, W] in [-1, 1]

    @property
    def image(self) -> Image.Image:
        """The completed picture, of the size and kind of the input."""
        return self.picture.to_pil()


@dataclass(frozen=True, eq=False)
class Result:
    """A completed picture, with the best z of its search and what the model says of it.

    Where nothing was missing there was no search: ``steps`` is 0 and ``z`` None.
    """

    source: Source
    photograph: Photograph
    picture: Picture  # completed
    loss: float = 0.0
    contextual: float = 0.0
    perceptual: float | None = None  # before its weight λ; None where that is 0 and D was not asked
    prior: float = 0.0  # pull·|z − anchor|²; loss = contextual + λ·perceptual + prior
    steps: int = 0
    ended: str = "steps"  # used up; or its search met the "goal", or a "plateau"; or it took one "pass"
    seconds: float = 0.0  # this picture's share of its batch's search
    z: np.ndarray | None = None  # [Z]
    generated: np.ndarray | None = None  # G(z) of a search, [C, H, W] in [-1, 1]
    trace: Trace | None = None  # if it was asked for
    frames: tuple[np.ndarray, ...] = ()  # G(z) on the way, if asked for
    candidates: tuple[Candidate, ...] = ()  # if asked for: this one, then the others by how well they fit
    confidence: np.ndarray | None = None  # if asked for: uint8 [H, W], 255 where all is sure

    @property
    def image(self) -> Image.Image:
        """The completed picture, of the size and kind of the input."""
        return self.picture.to_pil()

    @property
    def masked(self) -> Image.Image:
        """The input as the search saw it: without what was filled."""
        return self.photograph.masked().to_pil()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader should be told."""
        return self.picture.notices


@dataclass(frozen=True, eq=False)
class Failure:
    """A picture that could not be completed, and why. The others of its run are not affected."""

    source: Source
    error: EdgefillError
