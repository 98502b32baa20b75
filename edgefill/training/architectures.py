"""The architectures that complete in one pass: a row each, of which the command line and the export are made.

Torch-free: what a row names is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edgefill.training.config import GlcicTraining, Recipe, UNetTraining


@dataclass(frozen=True)
class Architecture:
    """What is trained by the recipe: a network, made from the recipe's ``network``, and how."""

    recipe: type[Recipe]
    what: str  # in a few words, for --help
    network_path: str  # module:class, called with the recipe's network
    trainer_path: str  # module:class of a Stage, called with the recipe, the pictures and the device

    @property
    def network(self) -> Callable[..., Any]:
        return _imported(self.network_path)

    @property
    def trainer(self) -> Callable[..., Any]:
        return _imported(self.trainer_path)


ARCHITECTURES = {
    row.recipe.kind: row
    for row in (
        Architecture(
            GlcicTraining,
            "which completes in one pass",
            "edgefill.networks.glcic:CompletionNetwork",
            "edgefill.training.glcic:GlcicTrainer",
        ),
        Architecture(
            UNetTraining,
            "the same for photographs",
            "edgefill.networks.unet:CompletionUNet",
            "edgefill.training.unet:UNetTrainer",
        ),
    )
}


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
