"""A job's picture, read and prepared for the model."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgefill.holes.boxes import Box
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph, prepare
from edgefill.memory import BYTES_TO_COMPLETE, enough_memory
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import read_picture


def read(order: Order, model: Manifest, spend: Callable[..., None]) -> Photograph:
    """What is to be completed; ``spend`` is told the seconds of both phases. Raises InputError."""
    request, started = order.request, time.perf_counter()
    with enough_memory(order.source):
        picture = read_picture(order.source, bytes_a_pixel=BYTES_TO_COMPLETE)
        was_read = time.perf_counter()
        photograph = prepare(
            picture,
            request.mask_spec,
            model,
            seed=request.seed,
            box=Box(*request.box) if request.box else None,
            resize_mask=request.resize_mask,
            align=request.aligns,
            eyes=request.given_eyes,
        )
        if photograph.needs_search and model.latent:
            _ = photograph.evidence  # computed here, beside the search
    spend(read=was_read - started, prepare=time.perf_counter() - was_read)
    return photograph
