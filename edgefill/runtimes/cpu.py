"""What runtimes of the processor share: graphs that are opened when they are first needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from edgefill.errors import EdgefillError, ModelError
from edgefill.machine import cores
from edgefill.model.manifest import wide_form
from edgefill.runtimes import Footprint, Interrupted, RuntimeInfo
from edgefill.runtimes.host import HostRuntime
from edgefill.runtimes.registry import Row
from edgefill.runtimes.rows import Arrays, Run, in_portions, in_whole_batches

if TYPE_CHECKING:
    from edgefill.model.bundle import Bundle


class CpuRuntime(HostRuntime):
    """The graphs of ``bundle`` in the library of ``row``, whose ``version`` is named."""

    advice = "export the model again"  # where a graph does not run

    def __init__(
        self, row: Row, version: str, bundle: Bundle, precision: str | None, threads: int | None
    ) -> None:
        self._title, self._bundle, self._precision = row.title, bundle, precision
        self._threads = threads or cores()
        self._opened: dict[str, Run] = {}
        self._load_seconds = 0.0
        self._end: Callable[[], None] | None = None  # ends what runs now
        self._is_interrupted = False
        device = f"CPU, {self._threads} thread{'s' * (self._threads > 1)}"
        computed = precision or bundle.manifest.precision
        self.info = RuntimeInfo(row.name, f"{row.title} {version}", device, precision=computed)

    @property
    def rows_at_once(self) -> int | None:
        """How many rows go through a graph together; None is any number."""
        return None

    @property
    def features(self) -> int:
        """Those of the bundle's graphs."""
        return self._bundle.features(self._precision)

    def open_graph(self, graph: str) -> Run:
        """What runs ``graph`` with as many rows as it is given, at most ``rows_at_once``.

        While it runs ``_end`` may be what ends that, from another thread; then it raises something.
        """
        raise NotImplementedError

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of ``graph`` by name, for ``feeds`` of any number of rows. Raises ModelError."""
        model, most = self._bundle.manifest, self.rows_at_once
        exactly = model.interface.rows if model.interface else None
        self._is_interrupted = False
        form = wide_form(model, graph, feeds["z"].shape[1]) if "z" in feeds else graph
        with self._reported(form):
            if form not in self._opened:
                begin = time.perf_counter()
                self._opened[form] = self.open_graph(form)
                self._load_seconds += time.perf_counter() - begin
            run = self._unless_interrupted(self._opened[form])
            if exactly:
                return in_whole_batches(run, model, graph, feeds, exactly)
            return in_portions(run, model, graph, feeds, most)

    def interrupt(self) -> None:
        """Ends the ``run`` that is under way after the rows or operator that it is at; see ``Runtime``."""
        self._is_interrupted, end = True, self._end
        if end is not None:
            end()

    def footprint(self) -> Footprint:
        """The size of the ONNX files that were needed, and how long they took to load."""
        size = sum(len(self._bundle.graph(name, self._precision)) for name in self._opened)
        return Footprint(plan_bytes=size, load_seconds=self._load_seconds)

    def close(self) -> None:
        """Drops the graphs."""
        self._opened.clear()

    def _unless_interrupted(self, run: Run) -> Run:
        """``run``, which is not begun once the rows before it were interrupted."""

        def checked(feeds: Arrays) -> Arrays:
            if self._is_interrupted:
                raise Interrupted
            return run(feeds)

        return checked

    @contextmanager
    def _reported(self, graph: str) -> Iterator[None]:
        try:
            yield
        except (EdgefillError, Interrupted):
            raise
        except Exception as error:  # libraries have their own types, with no common parent
            if self._is_interrupted:
                raise Interrupted from error
            words = " ".join(str(error).split())
            raise ModelError(
                f"{self._title} cannot run {graph}.onnx of {self._bundle.path}: {words}; {self.advice}"
            ) from error
