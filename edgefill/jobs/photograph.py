"""From a photograph to what the search has to go by, and from G(z) back into the photograph.

The region that is completed (a box, or the whole picture) is scaled to the model's size without letting
missing pixels leak into known ones; G(z) is scaled back, and everything known stays as it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from PIL import Image

from edgefill.errors import InputError
from edgefill.faces.eyes import Eyes
from edgefill.faces.portraits import Portraits, portraits_of
from edgefill.holes.boxes import Box, Part, bounds, extents, grown, overlap, within
from edgefill.holes.filling import Hole
from edgefill.holes.scaling import as_channels, scale, scale_known, unit_channels
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import Picture, from_unit, split_luminance, to_unit
from edgefill.pictures.masks import MASKS, MaskSpec, known_pixels

BLENDS = ("poisson", "none")
_Margin: TypeAlias = tuple[tuple[int, int], tuple[int, int]]  # pixels before and after, in each direction


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
    portraits: Portraits | None = None  # where faces are aligned; the box is the whole picture then

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
        """What is known of it at the model's size, as the one row of an Evidence; of faces one row each."""
        height, width = self.model.height, self.model.width
        blocks = (height // self.model.searched.block, width // self.model.searched.block)
        if self.portraits:
            target, weight = self.portraits.seen(self.region, self.known, self.model.channels)
            return Evidence(target, weight, np.zeros((len(target), 1, *blocks), np.float32))
        if self.block:
            values = unit_channels(self.region, self.model.channels)
            target = np.repeat(np.repeat(self._block_means(values), self.block, 0), self.block, 1)
            weight, block_weight = np.zeros((height, width), np.float32), np.ones(blocks, np.float32)
        else:
            luminance = self.model.channels < self.region.shape[2]
            values = unit_channels(self.region, 1) if luminance else self.region
            means, weight = scale_known(values, self.known, (height, width))
            target = as_channels(means, self.model.channels)
            block_weight = np.zeros(blocks, np.float32)
        return Evidence(target.transpose(2, 0, 1)[None], weight[None, None], block_weight[None, None])

    def finished(self, generated: np.ndarray, blend: str = "poisson") -> Picture:
        """The picture with its hole filled from ``generated``; the rest as it was.

        That is [C, H, W] in [-1, 1] of the model's size, or [N, C, H, W] for all of its faces.
        """
        if self.portraits:
            rows = generated if generated.ndim == 4 else generated[None]
            return self.filled(self.portraits.drawn(rows, self.region, self.known), blend)
        rows = generated[0] if generated.ndim == 4 else generated
        return self.filled(rows.transpose(1, 2, 0), blend)

    def filled(self, drawing: np.ndarray, blend: str = "poisson") -> Picture:
        """The picture with its hole filled from ``drawing``, [h, w, C] in [-1, 1] of all of its region."""
        size = self.known.shape
        values = self.picture.values.copy()
        if self.known.all():
            return self._with(values)
        if blend == "none" and drawing.shape[2] == self.region.shape[2]:
            return self._with_hole(scale(drawing, size))
        inside, around, margin = self._place()
        known = np.pad(self.known[inside], margin, constant_values=True)  # as what lies around the box is
        drawn = _padded(scale(drawing, size, part=inside), margin)
        tinted = self.block and self.region.shape[2] == 3
        colours = _padded(self._drawn_chroma()[inside], margin) if tinted else None
        hole = Hole(drawn, self.picture.values[around], known, colours, blend)
        for part, filled in hole.filled():
            missing = ~known[part]
            values[around][part][missing] = from_unit(filled[missing], values.dtype)
        return self._with(values, opaque=self.filled_alpha)

    def mapped(self, values: np.ndarray, beyond: float) -> np.ndarray:
        """``values [H, W]`` of the model's size, of one face if any, at its region's, [h, w].

        Where that shows nothing of the face it is ``beyond``.
        """
        if self.portraits:
            return self.portraits.mapped(values[None, None], beyond)[:, :, 0]
        return scale(values[:, :, None], self.region.shape[:2])[:, :, 0]

    def _place(self) -> tuple[Part, Part, _Margin]:
        """The part of the region that holds all that is missing and what is next to it, that of the picture,
        and how far the latter goes beyond the region: of a large picture all of it is half a gigabyte.
        """
        rows, columns = bounds(~self.known)
        hole = Box(self.box.x + columns.start, self.box.y + rows.start, *extents((columns, rows)))
        around = grown(hole.part, 1, self.picture.size)
        inner = overlap(around, self.box.part)
        top, left = (
            (own.start - outer.start, outer.stop - own.stop) for own, outer in zip(inner, around, strict=True)
        )
        return within(inner, self.box.part), around, (top, left)

    def reduced(self, most: int) -> Photograph:
        """Its region alone, scaled down to ``most`` pixels a side; the same where that is no larger."""
        height, width = self.known.shape
        if max(height, width) <= most:
            return self
        share = most / max(height, width)
        rows, columns = (
            np.minimum((np.arange(max(1, round(side * share))) + 0.5) / share, side - 1).astype(int)
            for side in (height, width)
        )
        alpha = None if self.picture.alpha is None else self.box.cut(self.picture.alpha)[rows][:, columns]
        picture = replace(self.picture, values=self.region[rows][:, columns], alpha=alpha)
        box = Box(0, 0, len(columns), len(rows))
        portraits = self.portraits and self.portraits.reduced(rows, columns, share)
        known = self.known[rows][:, columns]
        return replace(self, picture=picture, box=box, known=known, portraits=portraits)

    def _with_hole(self, drawn: np.ndarray) -> Picture:
        """The picture with its hole as it is ``drawn [h, w, C]``; no other pixel is looked at."""
        rows, columns = np.nonzero(~self.known)
        values = self.picture.values.copy()
        self.box.cut(values)[rows, columns] = from_unit(drawn[rows, columns], values.dtype)
        return self._with(values, opaque=self.filled_alpha)

    def masked(self) -> Picture:
        """The picture as the search sees it: its hole grey, or only the block means where those are known."""
        whole = self.picture.values.copy()
        if self.block:
            means = self._block_means(to_unit(self.region))
            seen = scale(means, self.known.shape[:2], Image.Resampling.NEAREST)
            self.box.cut(whole)[~self.known] = from_unit(seen, self.region.dtype)[~self.known]
        else:
            self.box.cut(whole)[~self.known] = from_unit(np.float32(0), self.region.dtype)
        return self._with(whole)

    def _block_means(self, values: np.ndarray) -> np.ndarray:
        blocks = self.model.height // self.block, self.model.width // self.block
        return scale(values, blocks, Image.Resampling.BOX)

    def _drawn_chroma(self) -> np.ndarray:
        """The colours that go with a grey drawing, [h, w, 2]: those of the blocks that are known."""
        _, chroma = split_luminance(to_unit(self.region))
        return scale(self._block_means(chroma), self.known.shape)

    def _with(self, values: np.ndarray, *, opaque: bool = False) -> Picture:
        alpha = self.picture.alpha
        if opaque and alpha is not None:
            alpha = alpha.copy()
            self.box.cut(alpha)[~self.known] = np.iinfo(alpha.dtype).max
        return replace(self.picture, values=values, alpha=alpha)


def _padded(values: np.ndarray, margin: _Margin) -> np.ndarray:
    """``values [h, w, C]`` with its edges repeated; the same array where there is no margin."""
    return np.pad(values, (*margin, (0, 0)), mode="edge") if any(map(any, margin)) else values


def prepare(
    picture: Picture,
    mask: MaskSpec,
    model: Manifest,
    *,
    seed: int,
    box: Box | None = None,
    resize_mask: bool = False,
    align: bool = False,
    eyes: Sequence[Eyes] = (),
) -> Photograph:
    """The Photograph of ``picture`` and ``mask`` for ``model``. Raises InputError.

    Drawn masks (center, random, …) are drawn in the box; a painted mask or transparency belongs to the whole
    picture, and what it marks must lie in the box. Where it is to ``align`` faces their ``eyes`` are those
    that are given, or found.
    """
    lowres = mask.kind == "lowres"
    block = model.searched.block if lowres else 0
    if lowres and box is None and picture.size == (model.height // block, model.width // block):
        picture = _enlarged(picture, block)
    height, width = picture.size
    box = box or Box(0, 0, width, height)
    box.check(picture.name, picture.size)
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
        result = "a free sample of the model" if model.z_dim else "what the model draws where it sees nothing"
        notices.append(f"nothing is known: the result is {result}")
    portraits = None
    if align and needs_search:
        portraits, told = portraits_of(picture.values, known, eyes, model, picture.name)
        notices += told
    picture = replace(picture, notices=(*picture.notices, *notices))
    return Photograph(picture, box, known, mask.kind == "alpha", block, needs_search, model, portraits)


def _enlarged(picture: Picture, factor: int) -> Picture:
    """``picture`` with each pixel as a block of ``factor`` × ``factor``."""

    def enlarge(array: np.ndarray) -> np.ndarray:
        return array.repeat(factor, 0).repeat(factor, 1)

    alpha = None if picture.alpha is None else enlarge(picture.alpha)
    return replace(picture, values=enlarge(picture.values), alpha=alpha)
