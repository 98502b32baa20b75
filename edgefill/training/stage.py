"""What the loop trains, whichever networks it is about, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor


class Stage(Protocol):
    """What is trained: networks that take one step for each batch of pictures."""

    config: Any  # a Recipe
    step: int
    total_steps: int

    def advance(self, real: np.ndarray) -> dict[str, float]:
        """One step on ``real [B, C, S, S]`` uint8; its losses by name."""

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that ``load_tensors`` needs to go on as if nothing had happened."""

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Takes over what ``tensors`` gave after ``step`` steps."""

    def samples(self) -> np.ndarray:
        """What it can do by now, as pictures [N, C, S, S] in [-1, 1]."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step; ``epoch`` counts from 1."""

    step: int
    total_steps: int
    epoch: int
    epoch_ended: bool
    losses: Mapping[str, float]
