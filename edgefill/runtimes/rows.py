"""Any number of rows through a graph that takes some of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgefill.model.manifest import Manifest, graph_signatures

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


def row_count(model: Manifest, graph: str, feeds: Arrays) -> int:
    """How many rows ``feeds`` have: one where a layout has no axis for them and they come without it."""
    inputs, _ = graph_signatures(model)[graph]
    rowless = _rowless(model) & set(inputs)
    if rowless and all(feeds[name].ndim == len(inputs[name]) for name in rowless):
        return 1
    return len(next(iter(feeds.values())))


def sides_of(model: Manifest, graph: str, feeds: Arrays) -> tuple[int, int] | None:
    """Height and width of ``feeds`` for a graph that takes any; None for one of a fixed size."""
    sides: dict[str, int] = {}
    for name, shape in graph_signatures(model)[graph][0].items():
        own = zip(reversed(shape), reversed(feeds[name].shape), strict=False)
        sides.update({side: size for side, size in own if isinstance(side, str)})
    return (sides["H"], sides["W"]) if "H" in sides else None


def in_portions(
    run: Run, model: Manifest, graph: str, feeds: Arrays, most: int | None = None
) -> dict[str, np.ndarray]:
    """The outputs of ``run`` for all rows of ``feeds``, of which it gets ``most`` at once, or fewer.

    It gets what the network takes: where a layout has no axis for rows, a row comes without one.
    """
    rows, rowless = row_count(model, graph, feeds), _rowless(model)
    if most is None or rows <= most:
        return dict(run(feeds))
    found = [
        run({name: _portion(values, start, most, name in rowless) for name, values in feeds.items()})
        for start in range(0, rows, most)
    ]
    return {
        name: (np.stack if name in rowless else np.concatenate)([each[name] for each in found])
        for name in found[0]
    }


def in_whole_batches(
    run: Run, model: Manifest, graph: str, feeds: Arrays, exactly: int
) -> dict[str, np.ndarray]:
    """``in_portions`` of ``exactly`` so many rows: the last row fills the last portion up."""

    def filled_up(portion: Arrays) -> Arrays:
        rows = row_count(model, graph, portion)
        if rows == exactly:
            return run(portion)
        more = {name: np.repeat(values[-1:], exactly - rows, axis=0) for name, values in portion.items()}
        found = run({name: np.concatenate([values, more[name]]) for name, values in portion.items()})
        return {name: values[:rows] for name, values in found.items()}

    return in_portions(filled_up, model, graph, feeds, exactly)


def _rowless(model: Manifest) -> set[str]:
    """The inputs and outputs whose layout has no axis for rows."""
    if model.interface is None:
        return set()
    return {name for name, layout in model.interface.layouts.items() if "N" not in layout}


def _portion(values: np.ndarray, start: int, most: int, rowless: bool) -> np.ndarray:
    return values[start] if rowless else values[start : start + most]
