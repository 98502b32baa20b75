"""The bench: every batch size in turn, each with a runtime of its own, then the comparison with fp32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from edgefill import __version__
from edgefill.bench.board import open_board
from edgefill.bench.measure import Figures, Subject, Trial
from edgefill.bench.passes import Passes, PassTrial
from edgefill.bench.timing import Rule
from edgefill.completion import Completer, SearchSettings
from edgefill.errors import BackendUnavailable, InputError
from edgefill.export.engines.recipe import static
from edgefill.machine import environment
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import COMPLETION
from edgefill.runtimes import (
    DEVICE_BACKENDS,
    Runtime,
    RuntimeInfo,
    open_backend,
    precision_for,
)
from edgefill.runtimes.registry import LIBRARIES

_FORMAT = 1
_PACKAGES = ("edgefill", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Report:
    """What was measured, of what, and where."""

    model: str
    model_sha256: str  # of its fp32 step graph
    backend: RuntimeInfo
    precision: str
    settings: SearchSettings | None  # when a picture is finished; None where one pass does it
    rule: Rule
    energy: str | None  # what the joules are read from
    environment: dict[str, Any]
    figures: list[Figures]

    @property
    def graph(self) -> bool:
        """Whether steps were replayed as a CUDA graph."""
        return self.backend.steps_at_once > 1

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        own = {**asdict(self), "settings": self.settings and self.settings.document()}
        return {"format": _FORMAT, "edgefill": __version__, **own, "graph": self.graph}


def bench(
    bundle: Bundle,
    backend: str,
    batches: Sequence[int],
    *,
    settings: SearchSettings | None,
    rule: Rule,
    precision: str | None = None,
    threads: int | None = None,
    graph: bool = True,
    say: Callable[[str], None],
    progress: Callable[[str, float], None] = lambda phase, share: None,
) -> Report:
    """What ``backend`` costs with ``bundle`` at each of ``batches``.

    ``settings`` say when a picture is done; a model of one pass has none.

    ``progress`` is told the phase and the share of it that is done. Raises BackendUnavailable, ModelError.
    """
    if not batches or min(batches) < 1:
        raise InputError(f"cannot measure batches of {list(batches)}: expected sizes of 1 or more")
    rows: list[tuple[Figures, Trial | PassTrial]] = []
    if backend == "auto":
        chosen = open_backend(backend, bundle, precision=precision, threads=threads, graph=graph, say=say)
        backend = chosen.info.name
        chosen.close()
    built = _built(bundle, backend, settings, batches, precision, say) if backend in LIBRARIES else {}
    for batch in sorted(set(batches)):  # rising, since the peak of a process never falls
        opened = open_backend(backend, bundle, precision=precision, threads=threads, graph=graph, say=say)
        on_device = opened.info.name in DEVICE_BACKENDS
        with Completer(bundle.manifest, opened, batch=batch) as completer, open_board(on_device) as board:
            subject = Subject(completer, batch, settings) if settings else Passes(completer, batch)
            figures, trial = subject.measured(rule, board, _named(progress, batch))
        rows.append((replace(figures, build_seconds=built.get(batch, figures.build_seconds)), trial))
        info, energy = opened.info, board.source
    progress("comparing with fp32", 0.0)
    return Report(
        bundle.manifest.name,
        bundle.manifest.digest,
        info,
        precision or precision_for(info.name, bundle),
        settings,
        rule,
        energy,
        environment(_PACKAGES),
        _compared(rows, _reference(bundle, threads)),
    )


def _built(
    bundle: Bundle,
    library: str,
    settings: SearchSettings | None,
    batches: Sequence[int],
    precision: str | None,
    say: Callable[[str], None],
) -> dict[int, float]:
    """Engines for every size that is measured, where a larger one would do and be slower; their seconds."""
    from edgefill.export.engines.store import Engines

    engines = Engines(bundle, library, precision=precision, say=say)
    seconds = dict.fromkeys(batches, 0.0)
    graphs = settings.graphs(bundle.features(engines.precision)) if settings else (COMPLETION,)
    for graph, batch in product(graphs, seconds):
        seconds[batch] += engines.build(graph, static(batch)).sidecar.build_seconds
    return seconds


def _named(progress: Callable[[str, float], None], batch: int) -> Callable[[str, float], None]:
    return lambda phase, share: progress(f"batch {batch}: {phase}", share)


def _reference(bundle: Bundle, threads: int | None) -> Runtime | None:
    """ONNX Runtime on the CPU with the fp32 graphs; None where either is not there."""
    if "fp32" not in bundle.precisions:
        return None
    try:
        return open_backend("cpu", bundle, precision="fp32", threads=threads)
    except BackendUnavailable:
        return None


def _compared(rows: list[tuple[Figures, Trial | PassTrial]], reference: Runtime | None) -> list[Figures]:
    if reference is None:
        return [figures for figures, _ in rows]
    differences = [trial.differences(reference) for _, trial in rows]
    reference.close()
    return [replace(figures, **found) for (figures, _), found in zip(rows, differences, strict=True)]
