"""What is asked of a completion, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from edgefill.errors import EdgefillError, InputError
from edgefill.faces.eyes import Eyes, eyes_of
from edgefill.jobs.photograph import BLENDS, Photograph
from edgefill.limits import check
from edgefill.methods.latent.settings import SearchSettings
from edgefill.pictures.images import Picture, encode_picture
from edgefill.pictures.masks import MaskSpec, as_mask

Source: TypeAlias = str | Path | bytes | Image.Image | np.ndarray
Mask: TypeAlias = str | Path | bytes | Image.Image | np.ndarray | MaskSpec


@dataclass(frozen=True)
class Request:
    """What is asked of a picture, or of every picture of a run. Raises InputError for what cannot be asked.

    A mask that is a picture (a file's path or bytes, a Pillow picture, an array of bool or uint8) has the
    picture's size, and is white, or True, where it is to be filled: that is what one paints. What
    ``Completer.fill`` takes is the opposite: ``known`` is True where a pixel is kept.
    """

    mask: Mask = "center"  # the name of a kind, as in "random:0.3", or a picture, white where it is filled
    seed: int = 0  # of the mask, the first z and the search, afresh for each picture
    box: tuple[int, int, int, int] | None = None  # x, y, width, height; None completes the whole picture
    settings: SearchSettings | None = None  # what suits the model
    blend: str = "poisson"  # or "none"
    resize_mask: bool = False
    trace: bool = False  # keep loss and z of every step
    frames: int = 0  # keep G(z) of the start and of about this many steps, evenly spaced
    candidates: int = 1  # completions, as unlike each other as they come
    confidence: bool = False  # say of each pixel how much searches from other starts agree
    align: bool = False  # find the faces, and complete each as it stands in the model's pictures
    # The eyes of the faces to align, x, y, x, y of each in pixels, first the one that is left in the upright
    # face: where they are given none are looked for.
    eyes: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise InputError(f"cannot blend by {self.blend!r}: expected one of {', '.join(BLENDS)}")
        for name in ("seed", "frames", "candidates"):
            if not _is_whole(getattr(self, name)):
                raise InputError(f"cannot use the {name} {getattr(self, name)!r}: expected a whole number")
        if self.box is not None and not _is_box(self.box):
            raise InputError(
                f"cannot use the box {self.box!r}: expected four whole numbers, x, y, width and height, as "
                "in (100, 40, 256, 256), or None for the whole picture"
            )
        if not isinstance(self.settings, SearchSettings | None):
            raise InputError(
                f"cannot use settings of the type {type(self.settings).__name__}: expected SearchSettings, "
                "as in SearchSettings(steps=20), or None for what suits the model"
            )
        for name in ("candidates", "seed", "frames"):
            check(name, getattr(self, name))
        self._check_faces()

    def _check_faces(self) -> None:
        if self.aligns and (self.box is not None or self.mask_spec.kind in ("lowres", "full")):
            other = "a box" if self.box is not None else f"the mask {self.mask_spec.kind}"
            raise InputError(
                f"cannot align faces and complete {other}: expected one of the two; leave one out"
            )

    @cached_property
    def given_eyes(self) -> tuple[Eyes, ...]:
        """The eyes that are given. Raises InputError."""
        return eyes_of(self.eyes)

    @property
    def aligns(self) -> bool:
        """Whether faces are to be aligned."""
        return self.align or bool(self.given_eyes)

    @property
    def wants_others(self) -> bool:
        """Whether searches from other starts are asked for."""
        return self.candidates > 1 or self.confidence

    @cached_property
    def mask_spec(self) -> MaskSpec:
        """The mask, parsed. Raises InputError."""
        return as_mask(self.mask)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_box(box: object) -> bool:
    return isinstance(box, tuple | list) and len(box) == 4 and all(map(_is_whole, box))


@dataclass(frozen=True, eq=False)
class Trace:
    """What each step of one picture's search found."""

    loss: np.ndarray  # [steps]
    z: np.ndarray  # [steps, Z], where that loss was, but for what else was moved


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
    loss: float | None = None
    contextual: float | None = None
    perceptual: float | None = None  # before its weight λ; None where that is 0 and D was not asked
    prior: float | None = None  # pull·|z − anchor|²; loss = contextual + λ·perceptual + prior
    steps: int = 0
    # What ended it: its "steps" were used up, its search met the "goal" or a "plateau", it took one "pass",
    # or the "time" was up, and this is the best so far.
    ended: str = "steps"
    seconds: float = 0.0  # this picture's share of its batch's search
    z: np.ndarray | None = None  # [Z]; what else was moved, as features are, is in generated alone
    # Of a search, which may tell by it that the picture is of another kind than the model's: the share of the
    # variance of what is known that the model's first guess leaves unexplained.
    misfit: float | None = None
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
    def eyes(self) -> tuple[Eyes, ...]:
        """Those of the faces that were aligned and completed, from left to right."""
        portraits = self.photograph.portraits
        return portraits.eyes if portraits else ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader should be told."""
        if not self.is_foreign:
            return self.picture.notices
        return (
            *self.picture.notices,
            f"it does not look like the pictures that {self.photograph.model.name} draws (misfit "
            f"{self.misfit:.2f}, usually up to {self.photograph.model.usual_misfit:.2f}): do not trust what "
            "fills it, and try another model",
        )

    @property
    def is_foreign(self) -> bool:
        """Whether the search found that the picture is of another kind than those that the model draws."""
        usual = self.photograph.model.usual_misfit
        return self.misfit is not None and usual is not None and self.misfit > usual

    def __repr__(self) -> str:
        height, width = self.picture.size
        name = f" of {self.picture.name!r}" if self.picture.name else ""
        loss = "" if self.loss is None else f", loss {self.loss:.4g}"
        searched = f", {self.steps} steps{loss}" if self.ended != "pass" else ""
        return f"<Result{name}, {width}×{height}, ended by {self.ended!r}{searched}, {self.seconds:.3g} s>"

    def _repr_png_(self) -> bytes:
        """The completed picture, as notebooks show it."""
        return encode_picture(self.picture)


@dataclass(frozen=True, eq=False)
class Failure:
    """A picture that could not be completed, and why. The others of its run are not affected."""

    source: Source
    error: EdgefillError
