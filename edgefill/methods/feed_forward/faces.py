"""What a network draws of the faces of one photograph: each is shown as it stands in the model's pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgefill.faces.portraits import Portraits
from edgefill.holes.frames import KNOWN_SHARE, Sight, joined, pasted
from edgefill.holes.smooth import deep_parts
from edgefill.jobs.photograph import Photograph
from edgefill.methods.feed_forward.canvas import HAIR
from edgefill.model.interface import Interface


class FaceView(NamedTuple):
    """The number of a face, and what the network is shown of it."""

    number: int
    sight: Sight


class FaceCanvas:
    """What is drawn of the faces of one photograph; see ``Canvas``. What is as thin as hair no face draws."""

    def __init__(
        self, photograph: Photograph, portraits: Portraits, interface: Interface, blend: str
    ) -> None:
        self._photograph, self._interface, self._blend = photograph, interface, blend
        hole = ~photograph.known
        thin = np.zeros_like(hole) if blend == "none" else hole & ~deep_parts(hole, HAIR)
        self._portraits = portraits.without(thin)
        self._missing = set(range(len(portraits.poses)))  # numbers of those that are not drawn yet
        self._drawn = np.zeros((len(portraits.poses), interface.channels, *interface.cells), np.float32)
        self.count = len(portraits.poses)
        self.values = np.zeros((0, 0, interface.channels), np.float32)

    def views(self) -> Iterator[FaceView]:
        """What the network has to be shown."""
        means, share = self._portraits.seen(
            self._photograph.region, self._photograph.known, self._interface.channels
        )
        known = (share > KNOWN_SHARE).astype(np.float32)
        for number in range(self.count):
            yield FaceView(number, Sight(means[number] * known[number], known[number]))

    def put(self, view: FaceView, drawn: np.ndarray) -> None:
        """Adds what was ``drawn`` in ``view``, joined to what is known there unless that is not wanted."""
        if self._blend == "none":
            finished = pasted(view.sight, drawn)
        else:
            finished = joined(view.sight, drawn, hole_only=self._interface.output.draws_holes_only)
        self._drawn[view.number] = finished
        self._missing.discard(view.number)

    def finish(self) -> None:
        """Brings the drawings to their places, and fills what none was made of."""
        undrawn = np.isin(self._portraits.owners, list(self._missing))
        portraits = self._portraits.without(undrawn)
        self.values = portraits.drawn(self._drawn, self._photograph.region, self._photograph.known)
