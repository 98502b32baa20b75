"""What a network draws of one photograph's region: shown in views, put together without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from edgefill.holes.boxes import Part, grown
from edgefill.holes.contexts import Context, contexts, weight, whole
from edgefill.holes.frames import Frame, Sight, enlarged, joined, pasted, seen
from edgefill.holes.islands import any_of_blocks
from edgefill.holes.scaling import as_channels
from edgefill.holes.smooth import THIN, deep_parts, thin_pixels
from edgefill.jobs.photograph import Photograph
from edgefill.model.interface import Interface
from edgefill.pictures.images import from_unit, to_unit

HAIR = 3  # pixels: what is no wider is filled smoothly, without the network
_ENLARGED = 2  # times: what is thin is drawn better where it is shown wider
# Blocks of so many pixels, and how many of them: where thin holes are in more, they are scratches all over a
# large photograph. They are filled smoothly, which takes a second or two; a large network takes minutes.
_BLOCK, _MOST_BLOCKS = 48, 192
# Of what is filled smoothly, where a hole is 4 to 10 pixels wide. Both are off, but not alike: on photographs
# the mean is 0.2 to 0.5 dB above the better one, and LPIPS stays as it is; in wider holes LPIPS pays for it.
_SMOOTH_SHARE = 0.4


Cells: TypeAlias = tuple[int, int]  # rows and columns of what the network is shown


class View(NamedTuple):
    """A context of a photograph, and what the network is shown of it."""

    context: Context
    sight: Sight


class Canvas:
    """What is drawn of one photograph's region, from as many views as it takes.

    Its ``values`` [h, w, C] in [-1, 1] are that, as far as it is drawn; where pixels are known they mean
    nothing.
    """

    def __init__(self, photograph: Photograph, interface: Interface, blend: str) -> None:
        self._photograph, self._interface, self._blend = photograph, interface, blend
        height, width = photograph.known.shape
        hole = ~photograph.known
        self._drawn = self._wide = hole
        if blend != "none":
            self._drawn = deep_parts(hole, HAIR)
            self._wide = self._drawn & deep_parts(hole, THIN)
            if any_of_blocks(self._drawn & ~self._wide, _BLOCK).sum() > _MOST_BLOCKS:
                self._drawn = self._wide
        self._thin = hole & ~self._wide
        self._planned = self._plan()
        self.count = self._undrawn = len(self._planned)
        # Zeros that are never touched take no memory: of a large picture, only what is near its holes.
        self._values = np.zeros((interface.channels, height, width), np.float32)
        self._weight = np.zeros((height, width), np.float32)

    @property
    def values(self) -> np.ndarray:
        """Of the region; see above."""
        values: np.ndarray = self._values.transpose(1, 2, 0)
        return values

    def views(self) -> Iterator[View]:
        """What the network has to be shown."""
        for context, cells in self._planned:
            yield View(context, self._seen(context.frame, cells))

    def put(self, view: View, drawn: np.ndarray) -> None:
        """Adds what was ``drawn`` in ``view``, joined to what is known there unless that is not wanted."""
        if self._blend == "none":
            finished = pasted(view.sight, drawn)
        else:
            finished = joined(view.sight, drawn, hole_only=self._interface.output.draws_holes_only)
        self._undrawn -= 1
        frame, core = view.context
        values, share = self._values[:, core[0], core[1]], weight(core)
        self._weight[core] += share  # With what was drawn before, where cores overlap, it is a mean.
        step = enlarged(finished, _from(frame, core), share.shape) - values
        values += step * (share / self._weight[core])

    def finish(self) -> None:
        """Fills what is thin, beside what was drawn: hairs all, the rest by its share.

        Where there was no time to draw all, nothing is changed: that is joined as smoothly as can be.
        """
        if self._undrawn or not self._thin.any():
            return
        values = self._photograph.region
        if values.shape[2] != self._interface.channels:
            values = from_unit(as_channels(to_unit(values), self._interface.channels), values.dtype)
        values = values.copy()
        values[self._wide] = from_unit(self._values[:, self._wide].T, values.dtype)
        rows, columns, filled = thin_pixels(values, self._thin)
        share = np.where(self._drawn[rows, columns], np.float32(_SMOOTH_SHARE), np.float32(1))
        self._values[:, rows, columns] += share * (filled.T - self._values[:, rows, columns])

    def _plan(self) -> list[tuple[Context, Cells]]:
        """Frames around what is drawn, and as how many cells each is shown.

        A region that was cut out is seen as one, as it was asked for.
        """
        cells, reach = self._interface.cells, self._interface.reach
        if not self._drawn.any():
            return []
        if self._photograph.is_cut_out:
            height, width = self._drawn.shape
            return [(whole((height, width), cells), cells)]
        apart = self._interface.cells_of_thin is not None
        found = contexts(~(self._wide if apart else self._drawn), cells, reach)
        rest = self._drawn.copy()
        for context in found:
            rest[context.core] = False  # what is thin is drawn with what is wide beside it
        return [(context, cells) for context in found] + self._plan_of_thin(rest)

    def _plan_of_thin(self, hole: np.ndarray) -> list[tuple[Context, Cells]]:
        """Of a ``hole [H, W]`` that is thin: small frames, enlarged."""
        cells, reach = self._interface.cells_of_thin, self._interface.reach
        if cells is None:
            return []
        rows, columns = (side // _ENLARGED for side in cells)
        return [(each, cells) for each in contexts(~hole, (rows, columns), reach and reach // _ENLARGED)]

    def _seen(self, frame: Frame, cells: Cells) -> Sight:
        photograph, interface = self._photograph, self._interface
        everything = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
        part = grown(everything, 0, photograph.known.shape)
        values = as_channels(to_unit(photograph.region[part]), interface.channels).transpose(2, 0, 1)
        known = photograph.known[part].astype(np.float32)
        return seen(values, known, _from(frame, part), cells)


def _from(frame: Frame, part: Part) -> Frame:
    """``frame`` as counted from the start of ``part``."""
    top, left = frame.top - part[0].start, frame.left - part[1].start
    return Frame(*(np.float32(each) for each in (top, left, frame.height, frame.width)))
