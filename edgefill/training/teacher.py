"""A model that completes pictures, and from which another one learns how.

What a teacher draws follows from what it is shown. So a network that learns that alone can learn to be sharp,
where many pictures would be right and their mean is fog.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgefill.completion import Job, Request, load
from edgefill.errors import InputError
from edgefill.pictures.images import from_unit, to_unit


class Teacher:
    """The model at ``path``, or bundled by that name, which completes pictures of ``channels`` in one pass.

    Raises ModelError where it cannot be opened, InputError where it searches, or for other pictures.
    """

    def __init__(self, path: str | Path, channels: int) -> None:
        self._completer = load(path)
        model = self._completer.model
        if model.z_dim or model.passed.channels != channels:
            kind = "searches" if model.z_dim else f"completes pictures of {model.passed.channels} channels"
            raise InputError(
                f"{model.name} cannot teach: it {kind}; expected one that completes pictures of {channels} "
                "channels in one pass, such as an imported one"
            )

    def completed(self, pictures: Tensor, known: Tensor) -> Tensor:
        """``pictures [N, C, S, S]`` in [-1, 1], with what is not ``known [N, 1, S, S]`` as it fills it."""
        shown = from_unit(pictures.permute(0, 2, 3, 1).cpu().numpy())
        holes = known[:, 0].cpu().numpy() == 0
        jobs = [Job(picture, Request(hole)) for picture, hole in zip(shown, holes, strict=True)]
        with self._completer.scheduler.more_to_come():
            futures = [self._completer.scheduler.submit(job) for job in jobs]
        drawn = to_unit(np.stack([future.result().picture.values for future in futures]))
        targets = torch.from_numpy(drawn).to(pictures.device).permute(0, 3, 1, 2)
        return torch.where(known > 0, pictures, targets)
