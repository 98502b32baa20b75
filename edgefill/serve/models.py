"""The models that a server offers: each is opened once and has a scheduler of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edgefill.completion.scheduler import Scheduler
from edgefill.errors import EdgefillError, InputError
from edgefill.jobs.job import Job
from edgefill.jobs.request import Request
from edgefill.model.catalogue import SUFFIX, find
from edgefill.model.manifest import Manifest
from edgefill.model.signature import trusted
from edgefill.runtimes import Runtime, open_backend
from edgefill.serve.problems import Problem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Served:
    """A model by the name that clients use, and what runs its jobs."""

    def __init__(self, name: str, model: Manifest, runtime: Runtime, *, batch: int, waiting: int) -> None:
        self.name, self.model, self.runtime = name, model, runtime
        self.scheduler = Scheduler(model, runtime, batch=batch, waiting=waiting)
        self.works = False  # whether the last of its jobs that could be judged by it was completed

    @property
    def searches(self) -> bool:
        return self.model.latent is not None

    def warm_up(self) -> None:
        """Completes a grey picture, so that the first client does not wait. Raises EdgefillError."""
        grey = np.full((self.model.height, self.model.width), 127, np.uint8)
        self.scheduler.submit(Job(grey, Request("center"))).result()
        self.works = True

    def judge(self, error: BaseException | None) -> None:
        """Notes what the end of a job says of the model: a wrong picture says nothing."""
        if error is None:
            self.works = True
        elif isinstance(error, EdgefillError) and not isinstance(error, InputError):
            self.works = False

    def close(self) -> None:
        self.scheduler.close()
        self.runtime.close()


class Models:
    """The models of a server by their names; the first is that of requests which name none."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._served = {each.name: each for each in served}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    @property
    def first(self) -> Served:
        return next(iter(self._served.values()))

    @property
    def work(self) -> bool:
        return all(each.works for each in self)

    def find(self, name: str | None) -> Served:
        """The model called ``name``. Raises Problem where there is none."""
        if name is None:
            return self.first
        if name not in self._served:
            names = ", ".join(self._served)
            raise Problem("not-found", f"there is no model {name[:64]!r}; expected one of {names}")
        return self._served[name]

    def drain(self, seconds: float) -> None:
        """Waits until what was submitted is done, ``seconds`` at most."""
        for each in self:
            each.scheduler.drain(seconds)

    def close(self) -> None:
        for each in self:
            each.close()


def open_models(
    names: Sequence[str],
    backend: str,
    *,
    batch: int,
    waiting: int,
    say: Callable[[str], None],
    **options: Any,
) -> Models:
    """The models of ``names``, as ``--model`` takes them, opened on ``backend`` and warm.

    Raises ModelError for one that is not there or damaged, BackendUnavailable, and InputError for two of one
    name.
    """
    with ExitStack() as opened:
        served: list[Served] = []
        for name, path in _paths(names).items():
            bundle = trusted(path)
            runtime = open_backend(backend, bundle, say=say, **options)
            served.append(Served(name, bundle.manifest, runtime, batch=batch, waiting=waiting))
            opened.callback(served[-1].close)
            served[-1].warm_up()
            say(f"{name} on {runtime.info}")
        opened.pop_all()
        return Models(served)


def _paths(names: Sequence[str]) -> dict[str, Path]:
    """The file of each model by its name for clients."""
    paths: dict[str, Path] = {}
    for asked in names:
        path = find(asked)
        name = path.name.removesuffix(SUFFIX)
        if not _NAME.match(name):
            raise InputError(
                f"cannot serve a model by the name {name!r}: expected letters, digits, dots and dashes; "
                "rename its file"
            )
        if name in paths:
            raise InputError(f"two models are called {name!r}; rename the file of one")
        paths[name] = path
    return paths
