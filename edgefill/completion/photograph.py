"""From a photograph to what the search has to go by, and from G(z) back into the photograph.

The region that is completed (a box, or the whole picture) is scaled to the model's size without letting
missing pixels leak into known ones; G(z) is scaled back, and everything known stays as it was, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from edgefill.blending import poisson_blend
from edgefill.bundle import Manifest
from edgefill.completion.bands import Part, fade, parts_of
from edgefill.errors import InputError
from edgefill.evidence import Evidence
from edgefill.images import Picture, from_unit, join_luminance, luminance, split_luminance, to_unit
from edgefill.masks import MASKS, MaskSpec, known_pixels

BLENDS = ("poisson", "none")


class Box(NamedTuple):
    """A region of a picture in pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Box:
        """The box that ``x,y,w,h`` names. Raises InputError."""
        try:
            x, y, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise InputError(
                f"cannot use the box {text!r}: expected x,y,w,h in whole pixels, as in 100,40,256,256"
            ) from None
        return cls(x, y, width, height)

    def cut(self, array: np.ndarray) -> np.ndarray:
        """The part of ``array [H, W, ...]`` inside the box, as a view."""
        return array[self.y : self.y + self.height, self.x : self.x + self.width]

    def margin(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels, at most one, before and after the box in each direction of a picture of ``size``."""
        height, width = size
        rows = min(self.y, 1), min(height - self.y - self.height, 1)
        return rows, (min(self.x, 1), min(width - self.x - self.width, 1))

    def check(self, picture: Picture) -> None:
        """Raises InputError where the box does not lie in ``picture``."""
        height, width = picture.size
        inside = self.x >= 0 and self.y >= 0 and self.width > 0 and self.height > 0
        if not (inside and self.x + self.width <= width and self.y + self.height <= height):
            raise InputError(
                f"cannot use the box {','.join(map(str, self))}: {picture.name!r} has {width}×{height} "
                "pixels; expected a box with x + w and y + h within them"
            )


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture, the box of it that is completed, and what of that box is known."""

    picture: Picture
    box: Box
    known: np.ndarray  # [h, w] bool, of the box
    filled_alpha: bool  # pixels that are filled become opaque
    block: int  # side of the model's pixel blocks whose means are known; 0 unless all is known as such
    needs_search: bool
    model: Manifest

    @property
    def is_cut_out(self) -> bool:
        """Whether the box is a part of the picture only."""
        return self.region.shape != self.picture.values.shape

    @property
    def region(self) -> np.ndarray:
        """The values [h, w, C] of the box, as a view."""
        return self.box.cut(self.picture.values)

    @cached_property
    def evidence(self) -> Evidence:
        """What is known of it at the model's size, as the one row of an Evidence."""
        height, width = self.model.height, self.model.width
        blocks = (height // self.model.block, width // self.model.block)
        values = as_channels(to_unit(self.region), self.model.channels)
        if self.block:
            target = np.repeat(np.repeat(self._block_means(values), self.block, 0), self.block, 1)
            weight, block_weight = np.zeros((height, width), np.float32), np.ones(blocks, np.float32)
        else:
            target, weight = scale_known(values, self.known, (height, width))
            block_weight = np.zeros(blocks, np.float32)
        return Evidence(target.transpose(2, 0, 1)[None], weight[None, None], block_weight[None, None])

    def finished(self, generated: np.ndarray, blend: str = "poisson") -> Picture:
        """The picture with its hole filled from ``generated [C, H, W]`` in [-1, 1]; the rest as it was."""
        drawn = scale(generated.transpose(1, 2, 0), self.region.shape[:2])
        region, before = self.region.copy(), None
        axis, parts = parts_of(self.known)
        for part in parts:
            filled = self._fill(drawn, part, blend)
            if before is not None:
                fade(before, filled, axis)
            before = filled
            hole = ~self.known[part]
            region[part][hole] = from_unit(filled[hole], region.dtype)
        return self._with_region(region, opaque=self.filled_alpha)

    def masked(self) -> Picture:
        """The picture as the search sees it: its hole grey, or only the block means where those are known."""
        values = to_unit(self.region)
        seen = np.zeros_like(values)
        if self.block:
            seen = scale(self._block_means(values), values.shape[:2], Image.Resampling.NEAREST)
        shown = from_unit(seen, self.region.dtype)
        return self._with_region(np.where(self.known[:, :, None], self.region, shown))

    def _block_means(self, values: np.ndarray) -> np.ndarray:
        blocks = self.model.height // self.block, self.model.width // self.block
        return scale(values, blocks, Image.Resampling.BOX)

    def _fill(self, drawn: np.ndarray, part: Part, blend: str) -> np.ndarray:
        """The region's ``part`` with its hole as ``drawn [h, w, C]``, in the picture's channels, in [-1, 1].

        What lies around the box is known too: a hole that reaches the box's border joins it there.
        """
        rows, columns = part
        vertical, horizontal = self.box.margin(self.picture.size)
        margin = _at_border(vertical, rows, len(drawn)), _at_border(horizontal, columns, drawn.shape[1])
        known = np.pad(self.known[part], margin, constant_values=True)
        (top, _), (left, _) = margin
        x, y = self.box.x + columns.start - left, self.box.y + rows.start - top
        around = Box(x, y, known.shape[1], known.shape[0])
        target = to_unit(around.cut(self.picture.values))
        source = np.pad(np.clip(drawn[part], -1, 1), (*margin, (0, 0)), mode="edge")
        if source.shape[2] == target.shape[2]:
            filled = _blended(source, target, known, blend)
        elif target.shape[2] == 1:
            filled = _blended(luminance(source), target, known, blend)
        else:
            y, chroma = split_luminance(target)
            colours = np.pad(self._drawn_chroma(part), (*margin, (0, 0)), mode="edge")
            filled = join_luminance(_blended(source, y, known, blend), poisson_blend(colours, chroma, known))
        return Box(left, top, columns.stop - columns.start, rows.stop - rows.start).cut(filled)

    def _drawn_chroma(self, part: Part) -> np.ndarray:
        """The colours that go with a grey drawing, [h, w, 2]: none, or those of the blocks that are known."""
        if not self.block:
            return np.zeros((*self.known[part].shape, 2), np.float32)
        _, chroma = split_luminance(to_unit(self.region))
        return scale(self._block_means(chroma), self.known.shape)[part]

    def _with_region(self, region: np.ndarray, *, opaque: bool = False) -> Picture:
        values = self.picture.values.copy()
        self.box.cut(values)[:] = region
        alpha = self.picture.alpha
        if opaque and alpha is not None:
            alpha = alpha.copy()
            self.box.cut(alpha)[~self.known] = np.iinfo(alpha.dtype).max
        return replace(self.picture, values=values, alpha=alpha)


def prepare(
    picture: Picture,
    mask: MaskSpec,
    model: Manifest,
    *,
    seed: int,
    box: Box | None = None,
    resize_mask: bool = False,
) -> Photograph:
    """The Photograph of ``picture`` and ``mask`` for ``model``. Raises InputError.

    Drawn masks (center, random, …) are drawn in the box; a painted mask or transparency belongs to the whole
    picture, and what it marks must lie in the box.
    """
    lowres = mask.kind == "lowres"
    if lowres and box is None and picture.size == (model.height // model.block, model.width // model.block):
        picture = _enlarged(picture, model.block)
    height, width = picture.size
    box = box or Box(0, 0, width, height)
    box.check(picture)
    notices: list[str] = []
    if mask.kind in MASKS:
        region = replace(picture, values=box.cut(picture.values), alpha=None)
        known = known_pixels(mask, region, seed=seed, notices=notices)
    else:
        whole = known_pixels(mask, picture, seed=seed, resize=resize_mask, notices=notices)
        known = box.cut(whole)
        outside = int((~whole).sum() - (~known).sum())
        if outside:
            raise InputError(
                f"cannot complete {picture.name!r}: its mask marks {outside} pixels outside the box "
                f"{','.join(map(str, box))}; expected none, enlarge the box or leave it out"
            )
    needs_search = mask.kind == "full" or not known.all()
    if not needs_search:
        notices.append("nothing is missing: the picture stays as it was")
    elif not (lowres or known.any()):
        notices.append("nothing is known: the result is a free sample of the model")
    picture = replace(picture, notices=(*picture.notices, *notices))
    block = model.block if lowres else 0
    return Photograph(picture, box, known, mask.kind == "alpha", block, needs_search, model)


def scale(values: np.ndarray, size: tuple[int, int], filter: Image.Resampling | None = None) -> np.ndarray:
    """``values [h, w, C]`` resampled to ``size`` (height, width), float32; bicubic unless told otherwise."""
    if values.shape[:2] == size:
        return np.asarray(values, np.float32)
    method = Image.Resampling.BICUBIC if filter is None else filter
    planes = [
        Image.fromarray(np.ascontiguousarray(values[:, :, channel], np.float32)).resize(size[::-1], method)
        for channel in range(values.shape[2])
    ]
    return np.dstack([np.asarray(plane) for plane in planes])


def scale_known(
    values: np.ndarray, known: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the known pixels under each pixel of ``size``, [H, W, C], and their share, [H, W].

    Missing pixels have no part in the means, whatever they hold; where nothing is known the mean is 0.
    """
    grows = known.shape[0] < size[0] or known.shape[1] < size[1]
    method = Image.Resampling.BILINEAR if grows else Image.Resampling.BOX
    present = known[:, :, None].astype(np.float32)
    share = scale(present, size, method)
    share[share < 1e-4] = 0  # dust of rounding: nothing can be divided by it
    total = scale(np.where(known[:, :, None], values, np.float32(0)), size, method)
    means = np.divide(total, share, out=np.zeros_like(total), where=share > 0)
    return np.clip(means, -1, 1), np.minimum(share[:, :, 0], 1)


def as_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """``values [h, w, 1 or 3]`` in [-1, 1] as the model's number of channels."""
    if values.shape[2] == channels:
        return values
    return luminance(values) if channels == 1 else np.repeat(values, 3, axis=2)


def _blended(source: np.ndarray, target: np.ndarray, known: np.ndarray, blend: str) -> np.ndarray:
    if blend == "poisson":
        return poisson_blend(source, target, known)
    return np.where(known[:, :, None], target, source)


def _at_border(margin: tuple[int, int], run: slice, size: int) -> tuple[int, int]:
    """``margin`` where ``run`` reaches the ends of ``size``, none elsewhere."""
    return margin[0] * (run.start == 0), margin[1] * (run.stop == size)


def _enlarged(picture: Picture, factor: int) -> Picture:
    """``picture`` with each pixel as a block of ``factor`` × ``factor``."""

    def enlarge(array: np.ndarray) -> np.ndarray:
        return array.repeat(factor, 0).repeat(factor, 1)

    alpha = None if picture.alpha is None else enlarge(picture.alpha)
    return replace(picture, values=enlarge(picture.values), alpha=alpha)
