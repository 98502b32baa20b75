"""What fixes the shape of the networks; torch-free, so that the command line can read it quickly."""

from __future__ import annotations

from dataclasses import dataclass

from edgefill.errors import InputError
from edgefill.limits import check, shown

SIZES = (8, 16, 32, 64, 128, 256)
CHANNELS = (1, 3)
COMPLETION_SIZES = (32, 64, 128, 256)
UNET_MULTIPLE = 32
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
class CompletionConfig:
    """The shape of every weight of a network that completes in one pass, and of what judges it.

    Raises InputError where there is none such.
    """

    channels: int = 3
    size: int = 64  # Of the pictures in training.
    filters: int = 64  # Channels of the first layer; the others are in proportion.

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise InputError(
                f"pictures cannot have {shown(self.channels)} channels; expected 1 (grey) or 3 (RGB)"
            )
        self._check_size()
        check("filters", self.filters, "width")

    def _check_size(self) -> None:
        if self.size not in COMPLETION_SIZES:
            raise InputError(
                f"pictures cannot be {shown(self.size)} pixels wide; expected one of {COMPLETION_SIZES}"
            )


@dataclass(frozen=True)
class GlcicConfig(CompletionConfig):
    """Of GLCIC, whose paper has 64 filters; its completion network takes any multiple of 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % 2:
            raise InputError(f"filters cannot be {self.filters}; expected an even number")


@dataclass(frozen=True)
class UNetConfig(CompletionConfig):
    """Of the U-Net for photographs, which takes any multiple of 32; ``filters`` count at half the size."""

    size: int = 224
    filters: int = 24

    def _check_size(self) -> None:
        if self.size < 2 * UNET_MULTIPLE or self.size % UNET_MULTIPLE:
            raise InputError(
                f"pictures cannot be {shown(self.size)} pixels wide; expected a multiple of {UNET_MULTIPLE} "
                f"from {2 * UNET_MULTIPLE}"
            )

    @property
    def widths(self) -> tuple[int, int, int, int, int]:
        """Channels at a half, a quarter, an eighth, a sixteenth and a 32nd of the size: 24 to 120."""
        deep = 5 * self.filters
        return self.filters, 2 * self.filters, 4 * self.filters, deep, deep
