"""In which order an input or output of a network has its axes, as far as its shape tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgefill.errors import ModelError
from edgefill.export.importing.ports import Port, shown
from edgefill.model.interface import LAYOUTS


@dataclass(frozen=True)
class Reading:
    """A port with the meaning of its axes, and its channels."""

    port: Port
    layout: str
    channels: int

    def side(self, axis: str) -> int | str:
        """How long ``axis`` is: a number, or a name where it is open; 1 where there is none."""
        shape = self.port.shape
        if axis not in self.layout:
            return 1
        return axis if shape is None else shape[self.layout.index(axis)]

    @property
    def size(self) -> tuple[int | str, int | str]:
        return self.side("H"), self.side("W")

    @property
    def rows(self) -> int | str:
        return self.side("N")


def readings(port: Port, channels: Sequence[int], likely: str | None = None) -> list[Reading]:
    """How ``port`` may be read with one of ``channels``; with ``likely`` first, where that is possible.

    What a number of the shape says goes before what an open axis allows.
    """
    if port.shape is None:
        return [Reading(port, likely, channels[-1])] if likely else []
    fitting = [layout for layout in LAYOUTS if len(layout) == len(port.shape)]
    fitting.sort(key=lambda layout: layout != likely)
    certain = [
        Reading(port, layout, count)
        for layout in fitting
        if (count := _channels(port.shape, layout)) in channels
    ]
    if certain:
        return certain
    return [
        Reading(port, layout, channels[-1])
        for layout in fitting
        if "C" in layout and not isinstance(port.shape[layout.index("C")], int)
    ]


def reading_of(port: Port, channels: Sequence[int], layout: str | None, name: str, role: str) -> Reading:
    """How ``port``, ``role`` of the network ``name``, is to be read; by ``layout`` where one is told.

    Raises ModelError where that is impossible, or where more than one way is left.
    """
    found = readings(port, channels, layout)
    if layout:
        found = [each for each in found if each.layout == layout or len(each.layout) < len(layout)]
    plain = [each for each in found if each.side("N") == 1 or not isinstance(each.side("N"), int)] or found
    if len({each.layout for each in plain}) == 1 or (plain and layout):
        return plain[0]
    if len(plain) > 1 and {len(each.layout) for each in plain} == {3} and 1 in channels:
        return plain[0]  # an axis of one more or less: CHW, HWC and NHW are the same numbers
    ways = " or ".join(sorted({each.layout for each in plain})) or "no layout"
    raise ModelError(
        f"{name} has the input {port.name!r} {shown(port.shape)} for {role}, which may be {ways} with "
        f"{' or '.join(map(str, channels))} channels; expected one way to read it; give --layout NCHW or NHWC"
    )


def _channels(shape: tuple[int | str, ...], layout: str) -> int:
    """How many channels ``shape`` has in ``layout``; 0 where that is open."""
    if "C" not in layout:
        return 1
    count = shape[layout.index("C")]
    return count if isinstance(count, int) else 0
