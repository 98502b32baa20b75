"""From names, types and shapes of a network's inputs and outputs to its interface, as far as they tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from edgefill.errors import ModelError
from edgefill.export.importing.aspects import ASPECTS, IMAGENET
from edgefill.export.importing.layouts import Reading, reading_of, readings
from edgefill.model.interface import (
    DTYPES,
    SIGNED,
    Input,
    Interface,
    Mask,
    Output,
    Range,
    Sizes,
)
from edgefill.model.onnx_file import Shape

BYTES = Range.named("0..255")
TRAINED_SIDE = 256  # of networks of any size, unless told
_MASK_NAMES = ("mask", "hole", "known", "keep", "valid", "missing")
_AROUND_ZERO = {"mask", "range", "output_range"}  # what is open of MI-GAN's generator by its shape
_JOINED = {  # how channels are joined, by their number; the likeliest first
    2: (("mask", "picture"), ("picture", "mask")),
    4: (("mask", "picture"), ("picture", "mask")),
    5: (("picture", "ones", "mask"), ("picture", "mask", "ones"), ("mask", "ones", "picture")),
}


@dataclass(frozen=True)
class Port:
    """An input or output of a network as its file declares it; "?" stands for a size without a name."""

    name: str
    dtype: str
    shape: Shape | None  # None where not even the number of axes is said


@dataclass(frozen=True)
class Told:
    """What a user says of a network; None is to be found out. ``contract`` is any part of an interface."""

    mask_input: str | None = None
    output: str | None = None
    parts: tuple[str, ...] | None = None
    layout: str | None = None
    range: Range | None = None
    output_range: Range | None = None
    mask_means: str | None = None  # "known" or "hole": what the larger value of the mask means
    mask: Mask | None = None
    order: str | None = None
    sees: str | None = None
    side: int | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recognised:
    """An interface, and for each of ASPECTS that is still open what it may be, the likeliest first.

    ``claimed`` are those that a user has settled: the trial tests them.
    """

    interface: Interface
    open: Mapping[str, Sequence[Any]]
    claimed: frozenset[str] = frozenset()
    by_table: bool = False  # whether the network itself is known

    @property
    def likely(self) -> Interface | None:
        """The reading that public networks of this shape have, where it is one of the open ones."""
        if self.interface.inputs[0].parts != ("mask", "picture") or not set(self.open) >= _AROUND_ZERO:
            return None
        inner = replace(self.interface, range=SIGNED, output=replace(self.interface.output, range=SIGNED))
        return replace(inner, mask=Mask(0.5, -0.5))


def ports(model: ModelProto) -> tuple[list[Port], list[Port]]:
    """The inputs and the outputs of ``model``."""
    graph: GraphProto = model.graph
    return [_port(value) for value in graph.input], [_port(value) for value in graph.output]


def _port(value: ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    if not tensor.elem_type:
        return Port(value.name, "no tensor", None)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return Port(value.name, dtype, None)
    shape = tuple(
        each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else each.dim_param or "?"
        for each in tensor.shape.dim
    )
    return Port(value.name, dtype, shape)


def recognised(inputs: Sequence[Port], outputs: Sequence[Port], told: Told, name: str) -> Recognised:
    """What the network ``name`` is by its ``inputs`` and ``outputs`` and by what the user has ``told``.

    Raises ModelError for what cannot complete pictures, and where a role cannot be told.
    """
    for port in inputs:
        if port.dtype not in DTYPES:
            raise ModelError(
                f"{name} has the input {port.name!r} of type {port.dtype}; expected {', '.join(DTYPES)}; "
                "export it with such inputs"
            )
    picture, mask, parts = _roles(inputs, told, name)
    fixed = _fixed_size(picture, name)
    channels = 1 if picture.channels in (1, 2) else 3
    candidates = _pictures_drawn(outputs, picture, channels, fixed, told, name)
    open_aspects: dict[str, Sequence[Any]] = {}
    if mask is None:
        own_inputs: tuple[Input, ...] = (_input(picture, parts[0]),)
        open_aspects["parts"] = parts
    else:
        roles = {picture.port.name: (picture, ("picture",)), mask.port.name: (mask, ("mask",))}
        own_inputs = tuple(_input(*roles[port.name]) for port in inputs)
    drawn = candidates[0]
    interface = Interface(
        inputs=own_inputs,
        output=Output(drawn.port.name, drawn.layout, drawn.port.dtype, BYTES if _is_bytes(drawn) else SIGNED),
        trained_side=told.side or (max(fixed) if fixed else TRAINED_SIDE),
        order="L" if channels == 1 else told.order or "RGB",
        range=BYTES if _is_bytes(picture) else SIGNED,
        mask=Mask(channels=mask.channels if mask else 1),
        sees=told.sees or "zero",
        sizes=Sizes(fixed=fixed),
        batch=_batch((picture, *([mask] if mask else []))),
    )
    open_aspects["mask"] = _masks(mask or picture, mask.channels if mask else 1, told)
    open_aspects["range"] = [told.range] if told.range else _ranges(picture, channels)
    open_aspects["output_range"] = [told.output_range] if told.output_range else _ranges(drawn, channels)
    open_aspects["output"] = [each.port.name for each in candidates]
    return _as_contracted(_settled(interface, open_aspects, told), told.contract)


def as_told(interface: Interface, told: Told) -> Recognised:
    """``interface``, that of a network which is known, with what the user says of it instead."""
    mask = told.mask
    if told.mask_means and not mask:
        low, high = sorted((interface.mask.known, interface.mask.missing))
        mask = Mask(high, low) if told.mask_means == "known" else Mask(low, high)
    values = {
        "parts": told.parts, "output": told.output, "range": told.range, "output_range": told.output_range,
        "mask": mask, "order": told.order, "sees": told.sees,
    }  # fmt: skip
    claims = {key: value for key, value in values.items() if value is not None}
    for key, value in claims.items():
        interface = ASPECTS[key].put(interface, value)
    interface.check("what is told of the network")
    found = Recognised(interface, {}, frozenset(claims), by_table=True)
    return _as_contracted(found, told.contract)


def _is_bytes(reading: Reading) -> bool:
    return reading.port.dtype == "uint8"


def _input(reading: Reading, parts: tuple[str, ...]) -> Input:
    return Input(reading.port.name, parts, reading.layout, reading.port.dtype)


def _settled(interface: Interface, open_aspects: Mapping[str, Sequence[Any]], told: Told) -> Recognised:
    """Without the aspects that have one value only; those that the user has told are claims."""
    for key, values in open_aspects.items():
        interface = ASPECTS[key].put(interface, values[0])
    is_told = {
        "parts": told.parts, "output": told.output, "range": told.range, "output_range": told.output_range,
        "mask": told.mask or told.mask_means, "order": told.order, "sees": told.sees,
    }  # fmt: skip
    claimed = frozenset(key for key, value in is_told.items() if value is not None)
    return Recognised(interface, {key: each for key, each in open_aspects.items() if len(each) > 1}, claimed)


def _as_contracted(found: Recognised, contract: Mapping[str, Any]) -> Recognised:
    """``found`` with what a contract says in its place, which is a claim then. Raises ModelError."""
    if not contract:
        return found
    document = json.loads(json.dumps(found.interface.to_json()))
    for key, value in contract.items():
        both = isinstance(value, dict) and isinstance(document.get(key), dict) and key != "range"
        document[key] = {**document[key], **value} if both else value
    said = set(contract) & {"mask", "range", "order", "sees"}
    said |= {"parts"} if "inputs" in contract else set()
    output = contract.get("output", {})
    said |= {f"output{aspect}" for key, aspect in (("name", ""), ("range", "_range")) if key in output}
    still = {key: values for key, values in found.open.items() if key not in said}
    interface = Interface.from_json(document, "the contract")
    return replace(found, interface=interface, open=still, claimed=found.claimed | said)


def _roles(
    inputs: Sequence[Port], told: Told, name: str
) -> tuple[Reading, Reading | None, Sequence[tuple[str, ...]]]:
    """Which input is the picture and which the mask; or the one that joins both, and how it may do that."""
    if len(inputs) == 1:
        return _joined(inputs[0], told, name)
    if len(inputs) != 2:
        raise ModelError(
            f"{name} takes {len(inputs)} inputs ({_listed(inputs)}); expected a picture and a mask, or both "
            "joined in one; export it with these only"
        )
    which = _mask_among(inputs, told, name)
    mask, picture = inputs[which], inputs[1 - which]
    seen = reading_of(picture, (1, 3), told.layout, name, "the picture")
    return seen, reading_of(mask, (3, 1), _like(seen, told, mask), name, "the mask"), ()


def _like(seen: Reading, told: Told, mask: Port) -> str | None:
    """The layout of a mask beside a picture that was read: the same, where it has as many axes."""
    return seen.layout if mask.shape is not None and len(mask.shape) == len(seen.layout) else None


def _joined(port: Port, told: Told, name: str) -> tuple[Reading, Reading | None, Sequence[tuple[str, ...]]]:
    counts = {reading.channels for reading in readings(port, (1, 2, 3, 4, 5))}
    if not counts & set(_JOINED):
        what = "no picture" if not counts else f"a picture of {max(counts)} channel(s) and no mask"
        raise ModelError(
            f"{name} takes {what} ({_listed([port])}), as detectors, classifiers and filters do; expected a "
            "picture and a mask of what is missing; is it a network that completes pictures?"
        )
    if not any(isinstance(side, int) for side in port.shape or ()):
        raise ModelError(
            f"{name} leaves its channels open ({_listed([port])}); expected 4 of picture and mask, or 5; "
            "export it with as many as it takes"
        )
    reading = reading_of(port, tuple(_JOINED), told.layout, name, "picture and mask")
    parts: Sequence[tuple[str, ...]] = _JOINED[reading.channels]
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
    raise ModelError(
        f"{name} takes two inputs of unknown meaning ({_listed(inputs)}); expected a picture of 1 or 3 "
        f"channels and a mask; if {names[1]!r} is the mask: --mask-input {names[1]}"
    )


def _listed(these: Sequence[Port]) -> str:
    return ", ".join(f"{each.name} {each.dtype} {_shown(each.shape)}" for each in these)


def _shown(shape: Shape | None) -> str:
    return "of unknown shape" if shape is None else "×".join(map(str, shape)) or "a number"


def _fixed_size(picture: Reading, name: str) -> tuple[int, int] | None:
    height, width = picture.size
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    if isinstance(height, int) or isinstance(width, int):
        raise ModelError(
            f"{name} fixes one side of its pictures and not the other ({height}×{width}); expected both or "
            "none; export it again"
        )
    return None


def _batch(inputs: Sequence[Reading]) -> int | None:
    rows = {each.rows for each in inputs if isinstance(each.rows, int)}
    return min(rows) if rows else None


def _pictures_drawn(
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
    listed = _listed(outputs)
    if masks:
        problem = f"draws a mask instead of a picture ({listed})"
    elif all(port.shape is not None and len(port.shape) < 3 for port in outputs):
        problem = f"draws no picture ({listed}), as classifiers do"
    else:
        problem = f"draws no picture of the size and channels of its input ({listed}), as detectors do"
    raise ModelError(
        f"{name} {problem}; expected a completed picture for {_listed([picture.port])}; is it a network that "
        "completes pictures?"
    )


def _masks(reading: Reading, channels: int, told: Told) -> list[Mask]:
    """What the mask may say; of a joined input also values around 0, as MI-GAN has them."""
    if told.mask:
        return [replace(told.mask, channels=channels)]
    if _is_bytes(reading):
        pairs = [(0.0, 255.0), (255.0, 0.0), (0.0, 1.0), (1.0, 0.0)]
    elif reading.channels in _JOINED:
        pairs = [(1.0, 0.0), (0.0, 1.0), (0.5, -0.5), (-0.5, 0.5)]
    else:
        pairs = [(0.0, 1.0), (1.0, 0.0), (0.0, 255.0), (255.0, 0.0)]
    wanted = {None: (True, False), "known": (True,), "hole": (False,)}[told.mask_means]
    return [Mask(*pair, channels) for pair in pairs if (pair[0] > pair[1]) in wanted]


def _ranges(reading: Reading, channels: int) -> list[Range]:
    if _is_bytes(reading):
        return [BYTES]
    plain = [Range.named(each) for each in ("0..1", "-1..1", "0..255")]
    return [*plain, *([IMAGENET] if channels == 3 else [])]
