"""What fixes the shape of the networks; torch-free, so that the command line can read it quickly."""

from __future__ import annotations

from dataclasses import dataclass

from edgefill.errors import InputError
from edgefill.limits import check, shown

SIZES = (8, 16, 32, 64, 128, 256)
CHANNELS = (1, 3)
GLCIC_SIZES = (32, 64, 128, 256)
_WIDEST = 8  # In filters: larger pictures get more layers, not wider ones.


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of every weight of a G and a D. Raises InputError where there is none such."""

    z_dim: int = 100
    filters: int = 32
    channels: int = 3
    size: int = 64

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise InputError(f"pictures cannot be {shown(self.size)} pixels wide; expected one of {SIZES}")
        if self.channels not in CHANNELS:
            raise InputError(
                f"pictures cannot have {shown(self.channels)} channels; expected 1 (grey) or 3 (RGB)"
            )
        for name in ("z_dim", "filters"):
            check(name, getattr(self, name), "width")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of D's feature maps from the picture inwards, G's outwards: f, 2f, 4f, 8f for size 64."""
        layers = SIZES.index(self.size) + 1
        return tuple(self.filters * min(2**layer, _WIDEST) for layer in range(layers))


@dataclass(frozen=True)
class GlcicConfig:
    """The shape of every weight of a completion network and its discriminators. Raises InputError."""

    channels: int = 3
    size: int = 64  # Of the pictures in training; the completion network takes any multiple of 4.
    filters: int = 64  # Channels of the first layer, 64 in the paper; the others are in proportion.

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise InputError(
                f"pictures cannot have {shown(self.channels)} channels; expected 1 (grey) or 3 (RGB)"
            )
        if self.size not in GLCIC_SIZES:
            raise InputError(
                f"pictures cannot be {shown(self.size)} pixels wide; expected one of {GLCIC_SIZES}"
            )
        check("filters", self.filters, "width")
        if self.filters % 2:
            raise InputError(f"filters cannot be {self.filters}; expected an even number")
