"""What may be open of a network's conventions, aspect by aspect, and the option that settles each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgefill.errors import InputError
from edgefill.model.interface import RANGES, Interface, Mask, Range

IMAGENET = Range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Aspect:
    """One convention: where an interface holds it, how it is said, and how it is told."""

    what: str
    get: Callable[[Interface], Any]
    put: Callable[[Interface, Any], Interface]
    said: Callable[[Any], str]
    option: Callable[[Any], str]  # with the value


def _with_parts(interface: Interface, parts: tuple[str, ...]) -> Interface:
    (joined,) = interface.inputs
    return dataclasses.replace(interface, inputs=(dataclasses.replace(joined, parts=parts),))


def _with_output(interface: Interface, **values: Any) -> Interface:
    return dataclasses.replace(interface, output=dataclasses.replace(interface.output, **values))


def _mask_option(mask: Mask) -> str:
    if {mask.known, mask.missing} in ({0.0, 1.0}, {0.0, 255.0}):
        return f"--mask-means {'known' if mask.known > mask.missing else 'hole'}"
    return f"--mask-values {mask.known:g},{mask.missing:g}"


def said_mask(mask: Mask) -> str:
    channels = f" on {mask.channels} channels" if mask.channels > 1 else ""
    return f"{mask.known:g} where pixels are known and {mask.missing:g} where they are missing{channels}"


ASPECTS = {
    "mask": Aspect(
        "what the mask means", lambda each: each.mask,
        lambda each, value: dataclasses.replace(each, mask=value), said_mask, _mask_option,
    ),
    "range": Aspect(
        "the range of the picture that it takes", lambda each: each.range,
        lambda each, value: dataclasses.replace(each, range=value), str,
        lambda value: f"--range {range_as_text(value)}",
    ),
    "output_range": Aspect(
        "the range of the picture that it draws", lambda each: each.output.range,
        lambda each, value: _with_output(each, range=value), str,
        lambda value: f"--output-range {range_as_text(value)}",
    ),
    "order": Aspect(
        "the order of the channels", lambda each: each.order,
        lambda each, value: dataclasses.replace(each, order=value), str, lambda value: f"--order {value}",
    ),
    "sees": Aspect(
        "what stands in the hole", lambda each: each.sees,
        lambda each, value: dataclasses.replace(each, sees=value), str, lambda value: f"--sees {value}",
    ),
    "parts": Aspect(
        "how its channels are joined", lambda each: each.inputs[0].parts, _with_parts,
        lambda value: ", then ".join(value), lambda value: f"--join {','.join(value)}",
    ),
    "output": Aspect(
        "which output is the picture", lambda each: each.output.name,
        lambda each, value: _with_output(each, name=value), repr, lambda value: f"--output {value}",
    ),
}  # fmt: skip


def range_as_text(values: Range) -> str:
    """``values`` as ``range_from_text`` reads it."""
    if values == IMAGENET:
        return "imagenet"
    if str(values) in RANGES:
        return str(values)
    return "/".join(",".join(f"{each:g}" for each in part) for part in (values.mean, values.deviation))


def range_from_text(text: str, option: str = "--range") -> Range:
    """The range that a user names: a key of RANGES, imagenet, or means/deviations. Raises InputError."""
    if text == "imagenet":
        return IMAGENET
    if text in RANGES:
        return Range.named(text)
    try:
        mean, deviation = (tuple(float(each) for each in part.split(",")) for part in text.split("/"))
    except ValueError as error:
        raise InputError(
            f"{option} is {text!r}; expected {', '.join(RANGES)}, imagenet, or means and deviations of a "
            "picture in [0, 1], such as 0.485,0.456,0.406/0.229,0.224,0.225"
        ) from error
    return Range(mean, deviation)
