"""Completing pictures: read, prepare, search, finish. The pictures of a batch are searched for together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgefill.completion.arrays import fill, fill_in_one_pass
from edgefill.errors import EdgefillError, InputError
from edgefill.holes.boxes import Box
from edgefill.jobs.photograph import Photograph, prepare
from edgefill.jobs.request import Failure, Request, Result, Source
from edgefill.methods import SMOOTH, feed_forward, smooth
from edgefill.methods.latent.candidates import with_candidates
from edgefill.methods.latent.settings import SearchSettings, default_settings
from edgefill.methods.latent.start import check_encoder
from edgefill.methods.latent.stream import Stream
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import read_picture
from edgefill.pictures.masks import MaskSpec
from edgefill.runtimes import Runtime, open_backend


def load(model: str | Path, backend: str = "auto", **options: Any) -> Completer:
    """A Completer with ``model``, the name of a bundled or cached model or a path, on ``backend``.

    "smooth" is the filling without a network, which needs no backend.

    ``options`` are those of ``open_backend``: precision, threads, graph, engines, say. Raises ModelError for
    a model that is not there or damaged, BackendUnavailable for a missing backend.
    """
    if str(model) == SMOOTH:
        return Completer(smooth.MODEL, smooth.open_smooth(backend))
    bundle = Bundle.open(find(model))
    return Completer(bundle.manifest, open_backend(backend, bundle, **options))


class Completer:
    """Completes pictures with one model on one backend."""

    def __init__(self, model: Manifest, backend: Runtime) -> None:
        self.model = model
        self.backend = backend

    def complete(
        self,
        source: Source,
        mask: str | MaskSpec = "center",
        *,
        seed: int = 0,
        box: tuple[int, int, int, int] | None = None,
        settings: SearchSettings | None = None,
        blend: str = "poisson",
        trace: bool = False,
        candidates: int = 1,
        confidence: bool = False,
    ) -> Result:
        """The Result for one picture: a file, a Pillow picture or an array. Raises EdgefillError."""
        request = Request(
            mask, seed, box, settings, blend, trace=trace, candidates=candidates, confidence=confidence
        )
        result = next(self.complete_many([source], request))
        if isinstance(result, Failure):
            raise result.error
        return result

    def complete_many(
        self,
        sources: Iterable[Source],
        request: Request | None = None,
        *,
        batch: int = 16,
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[Result | Failure]:
        """A Result or a Failure for each of ``sources``, in their order; ``batch`` pictures run together.

        Where one has ended the next takes its place; no more than a few batches of small pictures are held in
        memory, and fewer of large ones. ``progress`` is told how many pictures' worth of search was
        just done. Raises EdgefillError for what concerns them all: the mask's name, the model.
        """
        if batch < 1:
            raise InputError(f"cannot complete batches of {batch} pictures: expected 1 or more")
        request = self._resolved(request or Request())
        mask, report = request.mask_spec, progress or (lambda _: None)

        def prepared(source: Source) -> Photograph | EdgefillError:
            return self._prepare(source, mask, request)

        if not self.model.latent:
            draw = smooth.draw_regions if self.model.method == SMOOTH else feed_forward.draw_regions
            yield from feed_forward.outcomes(
                sources, prepared, request, self.model, self.backend, draw=draw, batch=batch, progress=report
            )
            return
        stream = Stream(self.model, self.backend, request, prepared, batch=batch, progress=report)
        for outcome in stream.outcomes(sources):
            if isinstance(outcome, Result) and (request.candidates > 1 or request.confidence):
                outcome = with_candidates(outcome, request, self.model, self.backend)
            yield outcome

    def fill(
        self,
        pictures: np.ndarray,
        known: np.ndarray,
        *,
        seeds: Sequence[int] | None = None,
        settings: SearchSettings | None = None,
    ) -> np.ndarray:
        """Completed pictures, uint8 [N, H, W, C], of uint8 ``pictures`` of that shape and the model's size.

        The short way for pictures that lie in memory: they are searched for together and composed where the
        model runs, without blending. ``known [N, H, W]`` (bool) says which pixels are kept, bit for bit.
        ``seeds`` are 0 unless given, and mean nothing to a model of one pass. Raises InputError for other
        shapes and for settings where there is no search, ModelError where a search fails.
        """
        seeds = [0] * len(pictures) if seeds is None else seeds
        if not self.model.latent:
            feed_forward.check_feed_forward(Request(settings=settings), self.model)
            if self.model.method == SMOOTH:
                return smooth.fill(pictures, known)
            return fill_in_one_pass(pictures, known, self.model, self.backend, seeds=seeds)
        settings = settings or default_settings(encoder=self.model.has_encoder)
        return fill(pictures, known, self.model, self.backend, seeds=seeds, settings=settings)

    def close(self) -> None:
        """Gives back what the backend holds."""
        self.backend.close()

    def __enter__(self) -> Completer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _resolved(self, request: Request) -> Request:
        """``request`` with settings, or without them where there is no search.

        Raises ModelError where they need an encoder and there is none, InputError for what needs a search.
        """
        if not self.model.latent:
            feed_forward.check_feed_forward(request, self.model)
            return request
        settings = request.settings or default_settings(encoder=self.model.has_encoder)
        if settings.start == "encoder":
            check_encoder(self.model)
        return replace(request, settings=settings)

    def _prepare(self, source: Source, mask: MaskSpec, request: Request) -> Photograph | EdgefillError:
        box = Box(*request.box) if request.box else None
        try:
            picture = read_picture(source)
            return prepare(
                picture, mask, self.model, seed=request.seed, box=box, resize_mask=request.resize_mask
            )
        except EdgefillError as error:
            return error
