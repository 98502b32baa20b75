"""A completion network of PyTorch and how it is called."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.model.interface import Interface


@dataclass(frozen=True)
class Inpainter:
    """Anybody's completion network, called as its interface says."""

    network: nn.Module
    interface: Interface
    dtype: torch.dtype = torch.float32  # that it computes in

    def __call__(self, picture: Tensor, known: Tensor) -> Tensor:
        """What it draws, [N, C, H, W], in the range and the order of channels of its output.

        ``picture [N, C, H, W]`` in [-1, 1] and ``known [N, 1, H, W]`` are those that are completed. Raises
        ModelError where it does not run on them or returns another shape: it is foreign code.
        """
        sizes = f"pictures {list(picture.shape)} and what is known of them {list(known.shape)}"
        try:
            with torch.no_grad():
                drawn = self.drawn(**self.interface.feeds(picture, known, torch))
        except Exception as error:  # foreign code may raise anything
            raise ModelError(
                f"the completion network does not run on {sizes}: {type(error).__name__}: {error}"
            ) from error
        output = self.interface.output
        standard = output.standard(drawn, torch) if drawn.dim() == len(output.layout) else drawn
        if standard.shape != picture.shape:
            raise ModelError(
                f"the completion network returned {list(drawn.shape)} of {sizes}; expected the same height "
                f"and width in {self.interface.channels} channel(s), as {output.layout}"
            )
        return standard

    def drawn(self, **feeds: Tensor) -> Tensor:
        """Its output as it is, of the inputs by name; numbers that are not whole go in as ``dtype``."""
        values = [
            feeds[each.name].to(self.dtype) if each.dtype != "uint8" else feeds[each.name]
            for each in self.interface.inputs
        ]
        drawn: Tensor = self.network(*values)
        return drawn
