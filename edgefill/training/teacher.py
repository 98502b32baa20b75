"""A model that completes pictures, and from which another one learns how.

What a teacher draws follows from what it is shown. So a network that learns that alone can learn to be sharp,
where many pictures would be right and their mean is fog.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgefill.errors import InputError
from edgefill.jobs.photograph import prepare
from edgefill.methods.feed_forward.canvas import Canvas
from edgefill.methods.feed_forward.network import draw, shown_by
from edgefill.model.signature import open_model
from edgefill.pictures.images import from_unit, read_picture, to_unit
from edgefill.pictures.masks import as_mask
from edgefill.runtimes import open_backend


class Teacher:
    """The model at ``path``, or bundled by that name, which completes pictures of ``channels`` in one pass.

    It runs where the training does: on the CPU where ``device`` is that, whatever else there is.

    Raises ModelError where it cannot be opened, InputError where it searches, or for other pictures.
    """

    def __init__(self, path: str | Path, channels: int, device: torch.device) -> None:
        bundle = open_model(path)
        self._model = bundle.manifest
        if self._model.z_dim or self._model.passed.channels != channels:
            own = 0 if self._model.z_dim else self._model.passed.channels
            kind = f"takes pictures of {own} channels" if own else "searches"
            raise InputError(
                f"{self._model.name} cannot teach: it {kind}; expected a model that completes pictures of "
                f"{channels} channels in one pass, such as an imported one"
            )
        self._runtime = open_backend("cpu" if device.type == "cpu" else "auto", bundle)

    def completed(self, pictures: Tensor, known: Tensor) -> Tensor:
        """``pictures [N, C, S, S]`` in [-1, 1], with what is not ``known [N, 1, S, S]`` as it fills it."""
        shown = from_unit(pictures.permute(0, 2, 3, 1).cpu().numpy())
        kept = known[:, 0].cpu().numpy() > 0
        filled = to_unit(np.stack([self._filled(*each) for each in zip(shown, kept, strict=True)]))
        drawn = torch.from_numpy(filled).permute(0, 3, 1, 2).to(pictures.device)
        return torch.where(known > 0, pictures, drawn)

    def _filled(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """``values [S, S, C]``, uint8, filled where they are not ``known [S, S]``."""
        if known.all():
            return values
        photograph = prepare(read_picture(values), as_mask(~known), self._model, seed=0)
        canvas = Canvas(photograph, shown_by(self._runtime, self._model), "poisson")
        for view in canvas.views():
            sight = view.sight
            canvas.put(view, draw(self._runtime, self._model, sight.means[None], sight.known[None])[0])
        canvas.finish()
        filled: np.ndarray = photograph.filled(canvas.values, "none").values  # joined in each frame
        return filled
