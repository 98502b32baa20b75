"""The architectures that complete in one pass: a row each, of which the command line and the export are made.

Torch-free: what a row names is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from importlib import import_module
from typing import Any

from edgefill.networks.config import CompletionConfig
from edgefill.training.config import AdversarialTraining, GlcicTraining, OnePassTraining, UNetTraining


@dataclass(frozen=True)
class Architecture:
    """What is trained by the recipe: a network and what judges it, and how.

    ``network`` and ``critic`` are called with the recipe's ``network``, unless the trainer makes them itself;
    ``trainer``, a Stage, with the recipe, the pictures and the device.
    """

    recipe: type[OnePassTraining]
    what: str  # in a few words, for --help
    network_path: str  # module:class
    critic_path: str
    trainer_path: str

    @property
    def network(self) -> Callable[..., Any]:
        return _imported(self.network_path)

    @property
    def critic(self) -> Callable[..., Any]:
        return _imported(self.critic_path)

    @property
    def trainer(self) -> Callable[..., Any]:
        return _imported(self.trainer_path)


def _recipe(kind: str, shape: CompletionConfig, **told: Any) -> type[OnePassTraining]:
    """An AdversarialTraining of ``kind``, for a network of that ``shape``, with other defaults."""
    entries = [("network", CompletionConfig, field(default=shape))]
    entries += [(name, type(value), field(default=value)) for name, value in told.items()]
    recipe: type[OnePassTraining] = make_dataclass(
        "AdversarialTraining", entries, bases=(AdversarialTraining,), namespace={"kind": kind}, frozen=True
    )
    return recipe


ARCHITECTURES = {
    row.recipe.kind: row
    for row in (
        Architecture(
            GlcicTraining,
            "which completes in one pass",
            "edgefill.networks.glcic:CompletionNetwork",
            "edgefill.networks.glcic:Discriminators",
            "edgefill.training.glcic:GlcicTrainer",
        ),
        Architecture(
            UNetTraining,
            "the same for photographs",
            "edgefill.networks.unet:CompletionUNet",
            "edgefill.networks.unet:Critic",
            "edgefill.training.unet:UNetTrainer",
        ),
        Architecture(
            _recipe("context-encoder", CompletionConfig(size=128), batch=64, lr=2e-4, adversarial=0.001),
            "for one size of pictures",
            "edgefill.networks.context_encoder:ContextEncoder",
            "edgefill.networks.context_encoder:Critic",
            "edgefill.training.adversarial:CrossEntropyTrainer",
        ),
        Architecture(
            _recipe("gated", CompletionConfig(size=256, filters=48), batch=16, lr=1e-4, adversarial=1.0),
            "which takes up what it sees elsewhere in the picture",
            "edgefill.networks.gated:GatedNetwork",
            "edgefill.networks.gated:PatchCritic",
            "edgefill.training.adversarial:HingeTrainer",
        ),
    )
}


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
