"""Completing pictures with one model: one by one, in order, or as arrays; all of it by a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edgefill.completion.arrays import check_arrays
from edgefill.completion.future import JobFuture
from edgefill.completion.in_order import InOrder
from edgefill.completion.scheduler import Scheduler
from edgefill.jobs.job import Job
from edgefill.jobs.request import Failure, Mask, Request, Result, Source
from edgefill.methods import SMOOTH, smooth
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import Manifest
from edgefill.model.signature import open_model
from edgefill.runtimes import Runtime, open_backend

T = TypeVar("T")


def load(model: str | Path, backend: str = "auto", **options: Any) -> Completer:
    """A Completer with ``model``, the name of a bundled or cached model or a path, on ``backend``.

    "smooth" is the filling without a network, which needs no backend.

    ``options`` are those of ``open_backend``: precision, threads, graph, engines, say. Raises ModelError for
    a model that is not there or damaged, or not of those whom EDGEFILL_SIGNERS names, BackendUnavailable for
    a missing backend.
    """
    if str(model) == SMOOTH:
        return Completer(smooth.MODEL, smooth.open_smooth(backend))
    bundle = open_model(model)
    return Completer(bundle.manifest, open_backend(backend, bundle, **options))


class Completer:
    """Completes pictures with one model on one backend; any number of threads may use it at once.

    What they ask for shares the batches of one ``scheduler``, and does not depend on what else is in them.
    """

    def __init__(self, model: Manifest, backend: Runtime, *, batch: int = 16) -> None:
        self.model = model
        self.backend = backend
        self.scheduler = Scheduler(model, backend, batch=batch)

    def complete(
        self,
        source: Source,
        mask: Mask = "center",
        *,
        seed: int = 0,
        box: tuple[int, int, int, int] | None = None,
        settings: SearchSettings | None = None,
        blend: str = "poisson",
        trace: bool = False,
        candidates: int = 1,
        confidence: bool = False,
        align: bool = False,
        eyes: Sequence[float] = (),
        deadline: float | None = None,
    ) -> Result:
        """The Result for one picture: a file or its bytes, a Pillow picture or an array.

        ``mask`` is the name of a kind, or a picture (a file, Pillow's or an array) that is white, or True,
        where it is filled; see Request. After ``deadline`` seconds, if that is given, it is the best so far,
        and ``ended`` says "time". Raises EdgefillError.
        """
        request = Request(
            mask, seed, box, settings, blend, trace=trace, candidates=candidates, confidence=confidence,
            align=align, eyes=eyes,
        )  # fmt: skip
        return _awaited(self.scheduler.submit(Job(source, request, deadline)))

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
        self.scheduler.batch = batch
        request = self.scheduler.resolved(request or Request())
        yield from InOrder(self.scheduler, sources, request, progress).outcomes()

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
        model runs, without blending. ``known [N, H, W]`` (bool) is True where a pixel is kept, bit for bit:
        the opposite of a mask, which is white where it is filled.
        ``seeds`` are 0 unless given, and mean nothing to a model of one pass. Raises InputError for other
        shapes and for settings where there is no search, ModelError where a search fails.
        """
        seeds = [0] * len(pictures) if seeds is None else seeds
        request = self.scheduler.resolved(Request(settings=settings))
        check_arrays(pictures, known, seeds, self.model)
        return _awaited(self.scheduler.fill(pictures, known, seeds, request))

    def close(self) -> None:
        """Cancels what is under way, and gives back what the backend holds."""
        self.scheduler.close()
        self.backend.close()

    def __enter__(self) -> Completer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _awaited(future: JobFuture[T]) -> T:
    """The result of ``future``; who does not wait for it any more does not want it."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
