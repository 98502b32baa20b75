"""One pass of a completion network, whatever it wants to see and however it says what it drew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgefill.model.interface import Interface
from edgefill.model.manifest import COMPLETION

if TYPE_CHECKING:
    from edgefill.runtimes import Runtime


def draw(runtime: Runtime, interface: Interface, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What the network draws, [N, C, H, W] in [-1, 1], where ``picture`` of that shape is not ``known``."""
    drawn: np.ndarray = interface.drawn(runtime.run(COMPLETION, interface.feeds(picture, known)))
    return drawn
