"""What a network draws of one photograph's region: shown in views, put together without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgefill.holes.boxes import Part, grown
from edgefill.holes.contexts import Context, contexts, weight, whole
from edgefill.holes.frames import Frame, Sight, enlarged, joined, pasted, seen
from edgefill.holes.scaling import as_channels
from edgefill.jobs.photograph import Photograph
from edgefill.model.interface import Interface
from edgefill.pictures.images import to_unit


class View(NamedTuple):
    """A context of a photograph, and what the network is shown of it."""

    context: Context
    sight: Sight


class Canvas:
    """What is drawn of one photograph's region, from as many views as it takes.

    Its ``values`` [C, h, w] in [-1, 1] are that, as far as it is drawn; where pixels are known they mean
    nothing.
    """

    def __init__(self, photograph: Photograph, interface: Interface, blend: str) -> None:
        self._photograph, self._interface, self._blend = photograph, interface, blend
        height, width = photograph.known.shape
        self.contexts = self._contexts()
        # Zeros that are never touched take no memory: of a large picture, only what is near its holes.
        self.values = np.zeros((interface.channels, height, width), np.float32)
        self._weight = np.zeros((height, width), np.float32)

    def views(self) -> Iterator[View]:
        """What the network has to be shown."""
        for context in self.contexts:
            yield View(context, self._seen(context.frame))

    def put(self, view: View, drawn: np.ndarray) -> None:
        """Adds what was ``drawn`` in ``view``, joined to what is known there unless that is not wanted."""
        if self._blend == "none":
            finished = pasted(view.sight, drawn)
        else:
            finished = joined(view.sight, drawn, hole_only=self._interface.output.draws_holes_only)
        frame, core = view.context
        values, share = self.values[:, core[0], core[1]], weight(core)
        self._weight[core] += share  # With what was drawn before, where cores overlap, it is a mean.
        step = enlarged(finished, _from(frame, core), share.shape) - values
        values += step * (share / self._weight[core])

    def _contexts(self) -> list[Context]:
        """Frames around what is missing. A region that was cut out is seen as one, as it was asked for."""
        known, cells = self._photograph.known, self._interface.cells
        if self._photograph.is_cut_out:
            return [whole((known.shape[0], known.shape[1]), cells)]
        return contexts(known, cells, self._interface.reach)

    def _seen(self, frame: Frame) -> Sight:
        photograph, interface = self._photograph, self._interface
        everything = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
        part = grown(everything, 0, photograph.known.shape)
        values = as_channels(to_unit(photograph.region[part]), interface.channels).transpose(2, 0, 1)
        known = photograph.known[part].astype(np.float32)
        return seen(values, known, _from(frame, part), interface.cells)


def _from(frame: Frame, part: Part) -> Frame:
    """``frame`` as counted from the start of ``part``."""
    top, left = frame.top - part[0].start, frame.left - part[1].start
    return Frame(*(np.float32(each) for each in (top, left, frame.height, frame.width)))
