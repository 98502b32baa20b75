"""Tries a network on a picture: decides what its file leaves open, and tests what is claimed of it.

Under each reading of its conventions the network completes a picture whose content is known. The right one
leaves small holes that nobody finds; a wrong polarity, range or joining does not. Measured on MI-GAN: 0.02 of
mean error in the hole under the right reading, 0.26 and more under wrong ones, but for ranges narrower than
its own, which look as good (0.022) and change what is known: so that counts too, and of ranges that tie the
widest is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefill.errors import ModelError
from edgefill.export.importing.aspects import ASPECTS, IMAGENET
from edgefill.export.importing.network import Network, read
from edgefill.export.importing.recognition import Recognised
from edgefill.export.importing.scene import scene
from edgefill.model.interface import RANGES, SEES, Interface, Mask, Output, Range

WORST = 0.15  # mean error in the holes that is still a completion, on [-1, 1]
_FINE = 0.06  # what a reading that public networks have needs, to be right without comparison
_NEAR, _NEARLY = 1.25, 0.005  # errors up to this many times the least, and so much more, tell nothing
_SAME = 0.01  # pictures that differ by less, on average, are one
_CLEARLY = 0.6  # a claim is refuted by a reading of so much of its error
_REDRAWN = 0.04  # mean error at known pixels from which on what is drawn there is not the picture
LOOKS = 0.02  # mean change of what is drawn in the hole by what stands in it
_GREY_LEVEL = 2 / 255
_KEPT_BYTES = 2**28  # of what was drawn, to be read in other ways
_WIDTHS = {"0..255": 3, "-1..1": 1, "0..1": 0}  # of ranges, in order; that of ImageNet is 2


@dataclass(frozen=True)
class Outcome:
    """How well a network completes the trial's picture under one reading of its conventions."""

    interface: Interface
    content: np.ndarray  # of the holes, [C, pixels] in [-1, 1]
    hole: float  # mean error where pixels are missing, on [-1, 1]
    known: float  # and where they are known
    farthest: float  # largest error at a known pixel

    @property
    def error(self) -> float:
        """What readings are compared by."""
        return self.hole + self.known / 2


class Trial:
    """One network and the picture that it is tried on."""

    def __init__(self, network: Network, size: tuple[int, int], channels: int) -> None:
        self.network = network
        self.picture, self.known = scene(*size, channels)
        self._drawn: dict[Interface, Mapping[str, np.ndarray]] = {}  # by what went in

    def outcome(self, interface: Interface) -> Outcome:
        """Raises ModelError where the network does not run, or draws no finite picture."""
        picture, known = (np.repeat(each, interface.batch or 1, 0) for each in (self.picture, self.known))
        drawn = read(self._run(interface, picture, known), interface, picture, self.network.name)[0]
        missing = self.known[0, 0] == 0
        error = np.abs(drawn - self.picture[0])
        return Outcome(
            interface, drawn[:, missing], float(error[:, missing].mean()), float(error[:, ~missing].mean()),
            float(error[:, ~missing].max()),
        )  # fmt: skip

    def _run(self, interface: Interface, picture: np.ndarray, known: np.ndarray) -> Mapping[str, np.ndarray]:
        """What the network draws, once for all readings that differ only in how that is read."""
        taken = replace(interface, output=Output(""))
        if taken not in self._drawn:
            outputs = self.network.run(interface.feeds(picture, known))
            room = _KEPT_BYTES // max(1, sum(values.nbytes for values in outputs.values()))
            while len(self._drawn) > room:
                del self._drawn[next(iter(self._drawn))]  # the oldest
            self._drawn[taken] = outputs
        return self._drawn[taken]


def tried(trial: Trial, found: Recognised) -> Outcome:
    """The reading of ``found`` by which the network completes the picture, and how well.

    Raises ModelError where there is none, where several fit, and where another fits clearly better than what
    is claimed: it names the option that mends it.
    """
    if found.likely and (outcomes := _outcomes(trial, [found.likely])[0]) and outcomes[0].hole <= _FINE:
        return outcomes[0]
    near, count = _search(trial, found)
    chosen = near[0]
    if "order" not in found.claimed and not found.by_table:  # only a network that knows colours shows it
        chosen = next(iter(_clearly_better(trial, chosen, "order")), chosen)
    if found.freed:
        _test_claims(trial, found, chosen)
    elif found.by_table:
        return chosen
    if chosen.hole > WORST:
        raise ModelError(
            f"{trial.network.name} completes nothing: the best of {count} readings of it "
            f"({_said(chosen.interface)}) is {chosen.hole * 127.5:.0f} grey levels off in small holes of a "
            "smooth picture; if it is a network that completes pictures, say what it takes: --contract FILE"
        )
    _refuse_ties(near, trial.network.name)
    return chosen


def _search(trial: Trial, found: Recognised) -> tuple[list[Outcome], int]:
    """The readings that complete the picture about equally well, the right one first; and how many ran.

    Raises ModelError where the network runs under none.
    """
    outcomes, problems = _outcomes(trial, _readings(found))
    if not outcomes:
        raise problems[0]
    for key in () if found.by_table else ("order", "sees"):
        if key not in found.claimed and min(each.hole for each in outcomes) > _FINE:
            own = [each.interface for each in outcomes]
            outcomes += _outcomes(trial, (other for each in own for other in _alternatives(key, each)))[0]
    return _near(outcomes), len(outcomes)


def measured(outcome: Outcome) -> Interface:
    """The interface with what its output is: pasted, only the hole, or all of the picture drawn anew."""
    pasted = outcome.farthest < _GREY_LEVEL / 2
    output = replace(
        outcome.interface.output, pasted=pasted, hole_only=not pasted and outcome.known > _REDRAWN
    )
    return replace(outcome.interface, output=output)


def looks_into_the_hole(trial: Trial, outcome: Outcome) -> float:
    """How much of what is drawn in the hole changes, on average, if that is white (black, if it was)."""
    other = replace(outcome.interface, sees="black" if outcome.interface.sees == "white" else "white")
    return float(np.abs(trial.outcome(other).content - outcome.content).mean())


def _readings(found: Recognised) -> Iterator[Interface]:
    """Every reading that the open aspects allow and that anybody would make."""
    keys = list(found.open)
    for values in itertools.product(*found.open.values()):
        interface = found.interface
        for key, value in zip(keys, values, strict=True):
            interface = ASPECTS[key].put(interface, value)
        if _is_likely(interface, found.open):
            yield interface


def _is_likely(interface: Interface, open_aspects: Mapping[str, Any]) -> bool:
    """Masks of 255 go with pictures of 255 where both are open, and masks around 0 with such pictures."""
    if not {"mask", "range"} <= set(open_aspects):
        return True
    if 255 in (interface.mask.known, interface.mask.missing):
        return str(interface.range) == "0..255"
    return interface.mask.known != -interface.mask.missing or str(interface.range) == "-1..1"


def _outcomes(
    trial: Trial, interfaces: Iterator[Interface] | Sequence[Interface]
) -> tuple[list[Outcome], list[ModelError]]:
    """How the network does under each of ``interfaces``, and why it does not under the others."""
    outcomes, problems = [], []
    for interface in interfaces:
        try:
            outcomes.append(trial.outcome(interface))
        except ModelError as error:
            problems.append(error)
    return outcomes, problems


def _near(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that are nearly as good as the best, the right one first.

    That is the one of the widest range, since a network is at ease in a part of its own.
    """
    least = min(each.error for each in outcomes)
    near = [each for each in outcomes if each.error <= _NEAR * least + _NEARLY]
    # of equals the likeliest, as they came
    return sorted(near, key=lambda each: -_width(each.interface.range))


def _refuse_ties(near: Sequence[Outcome], name: str) -> None:
    """Raises ModelError where one of ``near`` has another mask than the first and another picture."""
    chosen = near[0]
    others = [each for each in near if np.abs(each.content - chosen.content).mean() >= _SAME]
    for key in ("mask", "parts"):
        other = next((each for each in others if _option(key, each) != _option(key, chosen)), None)
        if other:
            raise ModelError(
                f"{name} does not show {ASPECTS[key].what}: {_option(key, chosen)} and {_option(key, other)} "
                f"complete the trial's picture equally well ({chosen.error:.3f} and {other.error:.3f}); give "
                "one of the two"
            )


def _option(key: str, outcome: Outcome) -> str:
    """What a user would give for the reading's value of ``key``."""
    if key == "parts" and len(outcome.interface.inputs) > 1:
        return ""
    return str(ASPECTS[key].option(ASPECTS[key].get(outcome.interface)))


def _width(values: Range) -> int:
    return 2 if values == IMAGENET else _WIDTHS.get(str(values), 1)


def _test_claims(trial: Trial, found: Recognised, chosen: Outcome) -> None:
    """Raises ModelError where other values than the claimed ones complete the picture clearly better.

    Where the claims are good enough for a completion, one is changed at a time; else all are found out anew.
    """
    if chosen.hole <= _FINE:
        better = [
            each for key in ASPECTS if key in found.claimed for each in _clearly_better(trial, chosen, key)
        ]
    else:
        assert found.freed is not None
        better = [each for each in _search(trial, found.freed)[0][:1] if _is_clearly_better(each, chosen)]
    if not better:
        return
    best = min(better, key=lambda each: each.error)
    wrong = [key for key in ASPECTS if key in found.claimed and _option(key, best) != _option(key, chosen)]
    if not wrong:
        return
    what = " and ".join(
        f"{ASPECTS[key].what} is {_value(key, best)}, not {_value(key, chosen)}" for key in wrong
    )
    raise ModelError(
        f"{trial.network.name} completes the trial's picture better if {what}: it is {best.hole * 127.5:.1f} "
        f"grey levels off in the holes instead of {chosen.hole * 127.5:.1f}; give "
        f"{' '.join(_option(key, best) for key in wrong)}"
    )


def _value(key: str, outcome: Outcome) -> str:
    aspect = ASPECTS[key]
    return str(aspect.said(aspect.get(outcome.interface)))


def _clearly_better(trial: Trial, chosen: Outcome, key: str) -> list[Outcome]:
    """The outcomes of the other values of ``key`` that leave no doubt."""
    outcomes, _ = _outcomes(trial, _alternatives(key, chosen.interface))
    return [each for each in outcomes if _is_clearly_better(each, chosen)]


def _is_clearly_better(outcome: Outcome, than: Outcome) -> bool:
    return outcome.error < _CLEARLY * than.error - _NEARLY


def _alternatives(key: str, interface: Interface) -> list[Interface]:
    """``interface`` with each other value that ``key`` commonly has; both ranges go together too."""
    ranges = [Range.named(each) for each in RANGES] + [IMAGENET] * (interface.channels == 3)
    put = ASPECTS[key].put
    if key == "mask":
        mask = interface.mask
        swapped = Mask(mask.missing, mask.known, mask.channels)
        values: list[Any] = [swapped]
    elif key == "order":
        values = ["BGR" if interface.order == "RGB" else "RGB"] if interface.channels == 3 else []
    elif key == "sees":
        values = list(SEES)
    elif key == "parts":
        own = interface.inputs[0].parts
        values = list(itertools.permutations(own)) if len(interface.inputs) == 1 else []
    else:
        values = ranges if "range" in key else []
    others = [put(interface, value) for value in values]
    if key == "range":
        others += [ASPECTS["output_range"].put(each, each.range) for each in others]
    return [each for each in others if each != interface]


def _said(interface: Interface) -> str:
    joined = len(interface.inputs) == 1
    keys = ["mask", "range", "output_range", *["parts"] * joined]
    return " ".join(ASPECTS[key].option(ASPECTS[key].get(interface)) for key in keys)
