"""Which inputs of a network are the picture and the mask, and which output is the completed picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from edgefill.errors import ModelError
from edgefill.export.importing.layouts import Reading, reading_of, readings
from edgefill.export.importing.ports import Port, listed
from edgefill.export.importing.told import Told
from edgefill.model.interface import DTYPES

_MASK_NAMES = ("mask", "hole", "known", "keep", "valid", "missing")
JOINED = {  # how channels are joined, by their number; the likeliest first
    2: (("mask", "picture"), ("picture", "mask")),
    4: (("mask", "picture"), ("picture", "mask")),
    5: (("picture", "ones", "mask"), ("picture", "mask", "ones"), ("mask", "ones", "picture")),
}


def roles(
    inputs: Sequence[Port], told: Told, name: str
) -> tuple[Reading, Reading | None, Sequence[tuple[str, ...]]]:
    """Which input is the picture and which the mask; or the one that joins both, and how it may do that."""
    if len(inputs) == 1:
        return _joined(inputs[0], told, name)
    if len(inputs) != 2:
        raise ModelError(
            f"{name} takes {len(inputs)} inputs ({listed(inputs)}); expected a picture and a mask, or both "
            "joined in one; export it with these only"
        )
    which = _mask_among(inputs, told, name)
    mask, picture = inputs[which], inputs[1 - which]
    seen = reading_of(picture, (1, 3), told.layout, name, "the picture")
    meaning = reading_of(mask, (3, 1), _like(seen, told, mask), name, "the mask")
    sides = zip(seen.size, meaning.size, strict=True)
    if any(isinstance(own, int) and isinstance(other, int) and own != other for own, other in sides):
        raise _unknown(inputs, name)
    return seen, meaning, ()


def _like(seen: Reading, told: Told, mask: Port) -> str | None:
    """The layout of a mask beside a picture that was read: the same, where it has as many axes."""
    return seen.layout if mask.shape is not None and len(mask.shape) == len(seen.layout) else None


def _joined(port: Port, told: Told, name: str) -> tuple[Reading, Reading | None, Sequence[tuple[str, ...]]]:
    counts = {reading.channels for reading in readings(port, (1, 2, 3, 4, 5))}
    if not counts & set(JOINED):
        what = "no picture" if not counts else f"a picture of {max(counts)} channel(s) and no mask"
        raise ModelError(
            f"{name} takes {what} ({listed([port])}), as detectors, classifiers and filters do; expected a "
            "picture and a mask of what is missing; is it a network that completes pictures?"
        )
    if not any(isinstance(side, int) for side in port.shape or ()):
        raise ModelError(
            f"{name} leaves its channels open ({listed([port])}); expected 4 of picture and mask, or 5; "
            "export it with as many as it takes"
        )
    reading = reading_of(port, tuple(JOINED), told.layout, name, "picture and mask")
    parts: Sequence[tuple[str, ...]] = JOINED[reading.channels]
    if told.parts:
        if sorted(told.parts) not in [sorted(each) for each in parts]:
            raise ModelError(
                f"{name} takes {reading.channels} channels; --join {','.join(told.parts)} has another "
                f"number; expected an order of {', '.join(parts[0])}"
            )
        parts = [told.parts]
    return reading, None, parts


def _mask_among(inputs: Sequence[Port], told: Told, name: str) -> int:
    """Which of two inputs is the mask: the one that is told, of one channel, or called so, or ModelError."""
    names = [port.name for port in inputs]
    if told.mask_input is not None:
        if told.mask_input not in names:
            raise ModelError(f"{name} has no input {told.mask_input!r}; expected one of {', '.join(names)}")
        return names.index(told.mask_input)
    counts = [{reading.channels for reading in readings(port, (1, 3))} for port in inputs]
    called = [any(word in each.lower() for word in _MASK_NAMES) for each in names]
    for mask, picture in permutations(range(2)):
        by_shape = counts[mask] == {1} and counts[picture] == {3}
        by_name = called[mask] and not called[picture] and bool(counts[mask]) and bool(counts[picture])
        if by_shape or by_name:
            return mask
    raise _unknown(inputs, name)


def _unknown(inputs: Sequence[Port], name: str) -> ModelError:
    names = [port.name for port in inputs]
    return ModelError(
        f"{name} takes two inputs of unknown meaning ({listed(inputs)}); expected a picture of 1 or 3 "
        f"channels and a mask; if {names[1]!r} is the mask: --mask-input {names[1]}"
    )


def pictures_drawn(
    outputs: Sequence[Port],
    picture: Reading,
    channels: int,
    fixed: tuple[int, int] | None,
    told: Told,
    name: str,
) -> list[Reading]:
    """The outputs that may be the completed picture, the last first: refined ones follow coarse ones.

    Raises ModelError where there is none, which says what the network draws instead.
    """
    if told.output is not None and told.output not in [port.name for port in outputs]:
        raise ModelError(
            f"{name} has no output {told.output!r}; expected one of "
            f"{', '.join(each.name for each in outputs)}"
        )
    asked = [port for port in outputs if told.output in (None, port.name)]
    found = [
        Reading(port, reading.layout, channels)
        for port in reversed(asked)
        if port.dtype in DTYPES
        for reading in readings(port, (channels,), picture.layout)
        if _fits(reading, fixed)
    ]
    chosen = {reading.port.name: reading for reading in reversed(found)}
    if not chosen:
        _refuse_outputs(asked, picture, fixed, name)
    return [chosen[port.name] for port in reversed(asked) if port.name in chosen]


def _fits(drawn: Reading, fixed: tuple[int, int] | None) -> bool:
    """Whether ``drawn`` may have the size of the pictures that go in."""
    sides = [side for side in drawn.size if isinstance(side, int)]
    return not sides or (fixed is not None and drawn.size == fixed) or (fixed is None and len(sides) < 2)


def _refuse_outputs(
    outputs: Sequence[Port], picture: Reading, fixed: tuple[int, int] | None, name: str
) -> None:
    masks = [port for port in outputs for each in readings(port, (1,)) if port.shape and _fits(each, fixed)]
    shown = listed(outputs)
    if masks:
        problem = f"draws a mask instead of a picture ({shown})"
    elif all(port.shape is not None and len(port.shape) < 3 for port in outputs):
        problem = f"draws no picture ({shown}), as classifiers do"
    else:
        problem = f"draws no picture of the size and channels of its input ({shown}), as detectors do"
    raise ModelError(
        f"{name} {problem}; expected a completed picture for {listed([picture.port])}; is it a network that "
        "completes pictures?"
    )
