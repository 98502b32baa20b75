"""What a search asks of a model's graphs, of whatever runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgefill.methods.latent.search import Evaluation, Task
from edgefill.model.manifest import ENCODER

if TYPE_CHECKING:
    from edgefill.runtimes import Runtime


def encode(runtime: Runtime, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The encoder's z, [N, Z], of what ``Evidence.seen`` gives."""
    return runtime.run(ENCODER, {"picture": picture, "known": known})["z"]


def generate(runtime: Runtime, z: np.ndarray) -> np.ndarray:
    """G(z), [N, C, H, W] in [-1, 1], of ``z [N, Z]``."""
    return runtime.run("generator", {"z": z})["generated"]


def evaluate(runtime: Runtime, z: np.ndarray, task: Task) -> Evaluation:
    """Loss, gradient and parts at ``z [N, Z]``; where D is not asked its part is 0."""
    found = runtime.run(task.graph, {"z": z, **task.inputs})
    perceptual = found["perceptual"] if "perceptual" in found else np.zeros(len(z), np.float32)
    return Evaluation(found["loss"], found["grad_z"], found["contextual"], perceptual)
