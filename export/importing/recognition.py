"""From names, types and shapes of a network's inputs and outputs to its interface, as far as they tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgefill.errors import ModelError
from edgefill.export.importing.aspects import ASPECTS, IMAGENET
from edgefill.export.importing.layouts import Reading
from edgefill.export.importing.ports import Port, listed
from edgefill.export.importing.roles import JOINED, pictures_drawn, roles
from edgefill.export.importing.told import Told
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

BYTES = Range.named("0..255")
TRAINED_SIDE = 256  # of networks of any size, unless told
_AROUND_ZERO = {"mask", "range", "output_range"}  # what is open of MI-GAN's generator by its shape


@dataclass(frozen=True)
class Recognised:
    """An interface, and for each of ASPECTS that is still open what it may be, the likeliest first.

    ``claimed`` are those that a user has settled: the trial tests them.
    """

    interface: Interface
    open: Mapping[str, Sequence[Any]]
    claimed: frozenset[str] = frozenset()
    by_table: bool = False  # whether the network itself is known
    freed: Recognised | None = None  # the same without the claims, where there are any

    def of(self, interface: Interface) -> Recognised:
        """The same of ``interface``, which has other sizes."""
        freed = self.freed and self.freed.of(
            replace(self.freed.interface, sizes=interface.sizes, trained_side=interface.trained_side)
        )
        return replace(self, interface=interface, freed=freed)

    @property
    def likely(self) -> Interface | None:
        """The reading that public networks of this shape have, where it is one of the open ones."""
        if self.interface.inputs[0].parts != ("mask", "picture") or not set(self.open) >= _AROUND_ZERO:
            return None
        inner = replace(self.interface, range=SIGNED, output=replace(self.interface.output, range=SIGNED))
        return replace(inner, mask=Mask(0.5, -0.5))


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
    by = _by_contract if "inputs" in told.contract else _by_shape
    found = by(inputs, outputs, told, name)
    if not told.claims:
        return found
    return replace(found, claimed=frozenset(told.claims), freed=by(inputs, outputs, told.structure, name))


def as_told(interface: Interface, told: Told) -> Recognised:
    """``interface``, that of a network which is known, with what the user says of it instead."""
    freed = Recognised(interface, {}, by_table=True)
    for key, value in told.claims.items():
        if key == "mask" and told.mask is None and told.mask_means:
            low, high = sorted((interface.mask.known, interface.mask.missing))
            value = Mask(high, low) if told.mask_means == "known" else Mask(low, high)
        if value is not True:  # which a contract says, below
            interface = ASPECTS[key].put(interface, value)
    interface.check("what is told of the network")
    found = replace(freed, interface=interface, claimed=frozenset(told.claims), freed=freed)
    return _with_contract(found, told.contract)


def _by_shape(inputs: Sequence[Port], outputs: Sequence[Port], told: Told, name: str) -> Recognised:
    """What names, types and shapes tell, with what a contract says in its place."""
    picture, mask, parts = roles(inputs, told, name)
    fixed = _fixed_size(picture, name)
    channels = 1 if picture.channels in (1, 2) else 3
    candidates = pictures_drawn(outputs, picture, channels, fixed, told, name)
    drawn = candidates[0]
    named = {picture.port.name: (picture, parts[0] if parts else ("picture",))}
    if mask:
        named[mask.port.name] = mask, ("mask",)
    interface = Interface(
        inputs=tuple(_input(*named[port.name]) for port in inputs),
        output=Output(drawn.port.name, drawn.layout, drawn.port.dtype),
        trained_side=told.side or (max(fixed) if fixed else TRAINED_SIDE),
        order="L" if channels == 1 else told.order or "RGB",
        mask=Mask(channels=mask.channels if mask else 1),
        sees=told.sees or "zero",
        sizes=Sizes(fixed=fixed),
        batch=_batch((picture, *([mask] if mask else []))),
    )
    open_aspects: dict[str, Sequence[Any]] = {
        **({"parts": parts} if parts else {}),
        "mask": _masks(mask or picture, interface.mask.channels, told),
        "range": [told.range] if told.range else _ranges(picture, channels),
        "output_range": [told.output_range] if told.output_range else _ranges(drawn, channels),
        "output": [each.port.name for each in candidates],
    }
    return _with_contract(_settled(interface, open_aspects), told.contract)


def _settled(interface: Interface, open_aspects: Mapping[str, Sequence[Any]]) -> Recognised:
    """With the likeliest of each, and those left open that have another value."""
    for key, values in open_aspects.items():
        interface = ASPECTS[key].put(interface, values[0])
    return Recognised(interface, {key: each for key, each in open_aspects.items() if len(each) > 1})


def _by_contract(inputs: Sequence[Port], outputs: Sequence[Port], told: Told, name: str) -> Recognised:
    """What a contract says that names the inputs, with the types and sizes of the file."""
    declared = {port.name: port for port in (*inputs, *outputs)}
    contract = dict(told.contract)
    entries = [each for each in contract["inputs"] if isinstance(each, dict)]
    if sorted(str(each.get("name")) for each in entries) != sorted(port.name for port in inputs):
        raise ModelError(
            f"the contract names the inputs {[each.get('name') for each in entries]}; {name} has "
            f"{listed(inputs)}"
        )
    contract["inputs"] = [{"dtype": declared[each["name"]].dtype, **each} for each in entries]
    drawn = declared.get(str(dict(contract.get("output", {})).get("name", told.output)), outputs[-1])
    contract["output"] = {
        "name": drawn.name, "dtype": drawn.dtype, "layout": entries[0].get("layout", "NCHW"),
        **contract.get("output", {}),
    }  # fmt: skip
    contract.setdefault("trained_side", told.side or TRAINED_SIDE)
    interface = Interface.from_json(contract, "the contract")
    (picture,) = (
        Reading(declared[each.name], each.layout, interface.channels)
        for each in interface.inputs
        if "picture" in each.parts
    )
    fixed = _fixed_size(picture, name)
    if fixed and "sizes" not in contract:
        interface = replace(interface, sizes=Sizes(fixed=fixed), trained_side=told.side or max(fixed))
    interface = replace(interface, batch=_batch([picture]))
    output = Reading(drawn, interface.output.layout, interface.channels)
    settled = _settled(
        interface,
        {
            "mask": _masks(picture, interface.mask.channels, told),
            "range": _ranges(picture, interface.channels),
            "output_range": _ranges(output, interface.channels),
        },
    )
    return _with_contract(settled, contract)


def _with_contract(found: Recognised, contract: Mapping[str, Any]) -> Recognised:
    """``found`` with what ``contract`` says in its place, which is open no more. Raises ModelError."""
    if not contract:
        return found
    document = json.loads(json.dumps(found.interface.to_json()))
    for key, value in contract.items():
        both = isinstance(value, dict) and isinstance(document.get(key), dict) and key != "range"
        document[key] = {**document[key], **value} if both else value
    drawn = contract.get("output", {})
    is_said = {
        "parts": "inputs" in contract, "output": "name" in drawn, "output_range": "range" in drawn,
        "mask": "mask" in contract, "range": "range" in contract,
    }  # fmt: skip
    still = {key: values for key, values in found.open.items() if not is_said[key]}
    return replace(found, interface=Interface.from_json(document, "the contract"), open=still)


def _is_bytes(reading: Reading) -> bool:
    return bool(reading.port.dtype == "uint8")


def _input(reading: Reading, parts: tuple[str, ...]) -> Input:
    return Input(reading.port.name, parts, reading.layout, reading.port.dtype)


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


def _masks(reading: Reading, channels: int, told: Told) -> list[Mask]:
    """What the mask may say; of a joined input also values around 0, as MI-GAN has them."""
    if told.mask:
        return [replace(told.mask, channels=channels)]
    if _is_bytes(reading):
        pairs = [(0.0, 255.0), (255.0, 0.0), (0.0, 1.0), (1.0, 0.0)]
    elif reading.channels in JOINED:
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
