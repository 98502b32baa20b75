"""What was found out about a network, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from edgefill.export.importing.aspects import range_as_text, said_mask
from edgefill.export.importing.trial import LOOKS
from edgefill.model.interface import Interface

_PARTS = {"picture": "the picture", "mask": "the mask", "ones": "ones"}


def described(interface: Interface, proof: Mapping[str, float]) -> list[str]:
    """One sentence for each thing that a user may want to check, or to correct by an option."""
    return [
        *(
            f"takes {each.name!r} ({each.dtype} {each.layout}): "
            + ", then ".join(_PARTS[part] for part in each.parts)
            for each in interface.inputs
        ),
        f"the picture is {interface.order}, {range_as_text(interface.range)}, {interface.sees} in the hole",
        f"the mask is {said_mask(interface.mask)}",
        f"draws {interface.output.name!r} ({interface.output.dtype} {interface.output.layout}), "
        f"{range_as_text(interface.output.range)}, {_drawn(interface)}",
        f"{_sizes(interface)}; sees {_reach(interface)}; {interface.batch or 'any number'} at once",
        f"in small holes of a smooth picture it is {proof['hole'] * 127.5:.1f} grey levels off",
        *[
            "it looks at what stands in the hole: edgefill never shows it the picture's own content there"
        ] * (proof.get("seen in the hole", 0) > LOOKS),
    ]  # fmt: skip


def _drawn(interface: Interface) -> str:
    if interface.output.pasted:
        return "pasted into what is known"
    return "of use in the hole only" if interface.output.hole_only else "all of the picture drawn anew"


def _sizes(interface: Interface) -> str:
    sizes = interface.sizes
    if sizes.fixed:
        return f"{sizes.fixed[0]}×{sizes.fixed[1]} only"
    return f"any multiple of {sizes.multiple} from {sizes.smallest} on"


def _reach(interface: Interface) -> str:
    return "the whole picture" if interface.reach is None else f"{interface.reach} pixels around"
