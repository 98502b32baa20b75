"""Which of the state dicts in a file is the G that is asked for, or the D."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from edgefill.errors import ModelError
from edgefill.export.weights.layers import Layer, layers_of
from edgefill.export.weights.reading import State, parts_of

Built = TypeVar("Built")
_AVERAGED = re.compile(r"ema|avg|averag", re.IGNORECASE)


def picked(
    states: dict[str, State], build: Callable[[list[Layer], str], Built], file: str, role: str
) -> tuple[Built, str]:
    """What ``build`` makes of the one state dict that it takes, and where that stands in the file.

    One whose name says that it is an average goes before the others. ``role`` is what messages call it.
    Raises ModelError: what is wrong with the one that is there, or which there are.
    """
    built: dict[str, Built] = {}
    refused: dict[str, ModelError] = {}
    for where, state in _candidates(states):
        title = f"{file}, {where}" if where else file
        try:
            built[where] = build(layers_of(state, title), title)
        except ModelError as error:
            refused[where] = error
    chosen = list(built) if len(built) < 2 else [each for each in built if _AVERAGED.search(each)]
    if len(chosen) == 1:
        return built[chosen[0]], chosen[0]
    if len(built) > 1:
        raise ModelError(
            f"{file} holds {len(built)} networks that may be {role}: {', '.join(built)}; expected one: save "
            "its state dict alone"
        )
    if len(states) == 1:
        raise next(iter(refused.values()))
    reasons = "; ".join(str(error) for where, error in refused.items() if where in states)
    raise ModelError(f"{file} holds {', '.join(states)}, none of which is {role}: {reasons[:1500]}")


def _candidates(states: dict[str, State]) -> Iterator[tuple[str, State]]:
    """Each state dict, and the networks that one of several holds, such as "netG" and "netD"."""
    for where, state in states.items():
        yield where, state
        parts = parts_of(state)
        if 1 < len(parts) < len(state):
            yield from ((f"{where}.{part}".strip("."), each) for part, each in parts.items())
