"""How a completion network wants to see a picture with a hole, and how to read what it draws.

Networks agree on nothing: the order of axes and of channels, the range of their values, whether 1 in a mask
means known or missing, what stands in the hole, which sizes they take. An ``Interface`` says all of it in
data, and ``feeds`` and ``drawn`` are the one place that acts on it: for the runtimes on NumPy arrays, for an
exported pipeline on PyTorch tensors, which is why the module that makes arrays is an argument.

Inside edgefill a picture is float [N, C, H, W] in [-1, 1], RGB or grey, and ``known`` is float
[N, 1, H, W], 1 where a pixel is kept and 0 where it is to be filled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from edgefill.errors import ModelError
from edgefill.model.onnx_file import Shape
from edgefill.model.reading import one_of, read_dataclass

PARTS = ("picture", "mask", "ones")
LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW")  # a letter that is missing is an axis of one
DTYPES = ("float32", "float16", "uint8")
ORDERS = ("RGB", "BGR", "L")
SEES = {"zero": None, "black": -1.0, "grey": 0.0, "white": 1.0}  # as a colour in [-1, 1]
RANGES = {"-1..1": (0.5, 0.5), "0..1": (0.0, 1.0), "0..255": (0.0, 1 / 255)}  # mean and deviation

_LEAST_OF_THIN = 96  # pixels of a side

Tensor: TypeAlias = Any  # a NumPy array or a PyTorch tensor


@dataclass(frozen=True)
class Range:
    """What a colour in [0, 1] is to a network: (colour − mean) / deviation; one number, or one a channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation) or not all(each > 0 for each in self.deviation):
            raise ModelError(
                f"a range has the mean {self.mean} and the deviation {self.deviation}; expected as many "
                "positive deviations as means"
            )

    @classmethod
    def named(cls, name: str, where: str = "a range") -> Range:
        """A key of RANGES. Raises ModelError."""
        if name not in RANGES:
            raise ModelError(
                f"{where} is {name!r}; expected one of {', '.join(RANGES)}, or a mean and a deviation"
            )
        mean, deviation = RANGES[name]
        return cls((mean,), (deviation,))

    def __str__(self) -> str:
        for name in RANGES:
            if self == Range.named(name):
                return name
        means, deviations = (", ".join(f"{each:g}" for each in part) for part in (self.mean, self.deviation))
        return f"mean {means}, deviation {deviations}"

    def of(self, values: Tensor, arrays: Any = np) -> Tensor:
        """``values [N, C, H, W]`` in [-1, 1] in this range."""
        factor, offset = self._affine(values, arrays)
        return values if factor is None else values * factor + offset

    def back(self, values: Tensor, arrays: Any = np) -> Tensor:
        """``values [N, C, H, W]`` of this range in [-1, 1]."""
        factor, offset = self._affine(values, arrays)
        return values if factor is None else (values - offset) / factor

    def _affine(self, values: Tensor, arrays: Any) -> tuple[Tensor, Tensor]:
        """What multiplies a value in [-1, 1], and what is added then; None where neither changes it."""
        factors = [0.5 / deviation for deviation in self.deviation]
        offsets = [
            (0.5 - mean) / deviation for mean, deviation in zip(self.mean, self.deviation, strict=True)
        ]
        if set(factors) == {1.0} and set(offsets) == {0.0}:
            return None, None
        factor, offset = (
            arrays.asarray(each, dtype=values.dtype).reshape(1, -1, 1, 1) for each in (factors, offsets)
        )
        return factor, offset


SIGNED = Range.named("-1..1")


@dataclass(frozen=True)
class Input:
    """An input of a network: which parts of what is known it holds, one behind the other as channels."""

    name: str
    parts: tuple[str, ...] = one_of(PARTS)
    layout: str = one_of(LAYOUTS, "NCHW")
    dtype: str = one_of(DTYPES, "float32")


@dataclass(frozen=True)
class Output:
    """The output that holds the picture."""

    name: str
    layout: str = one_of(LAYOUTS, "NCHW")
    dtype: str = one_of(DTYPES, "float32")
    range: Range = SIGNED
    pasted: bool = False  # whether what is known stands in it as it was given
    hole_only: bool = False  # whether it means nothing where pixels are known

    @property
    def draws_holes_only(self) -> bool:
        """Whether what it holds at known pixels says nothing of how far it is off in the hole."""
        return self.hole_only or self.pasted

    def standard(self, values: Tensor, arrays: Any = np) -> Tensor:
        """``values`` of this output's layout as [N, C, H, W]."""
        layout = self.layout
        rows, sides = tuple(values.shape[: values.ndim - len(layout)]), tuple(values.shape[-len(layout) :])
        whole = values.reshape((*rows, *(1,) * (4 - len(rows) - len(layout)), *sides))
        return arrays.moveaxis(whole, (0, 1, 2, 3), _axes(layout))


@dataclass(frozen=True)
class Mask:
    """What a mask says: its value where a pixel is known and where it is missing, on so many channels."""

    known: float = 1.0
    missing: float = 0.0
    channels: int = 1


@dataclass(frozen=True)
class Sizes:
    """The heights and widths that go through a network."""

    multiple: int = 1
    smallest: int = 1
    fixed: tuple[int, int] | None = None  # height and width, where it takes only these

    def at_least(self, side: int) -> int:
        """The smallest side of ``side`` or more that goes through a network of no fixed size."""
        wanted = max(side, self.smallest)
        return wanted + -wanted % self.multiple


@dataclass(frozen=True)
class Interface:
    """All that has to be known of a network to complete pictures with it."""

    inputs: tuple[Input, ...]
    output: Output
    trained_side: int  # pixels of a side of the pictures that it was trained on
    order: str = one_of(ORDERS, "RGB")  # of the channels; "L" is grey
    range: Range = SIGNED  # of the picture that it is given
    mask: Mask = field(default_factory=Mask)
    sees: str = one_of(SEES, "zero")  # what stands in the hole; "zero" is 0 in the network's own range
    sizes: Sizes = field(default_factory=Sizes)
    batch: int | None = None  # rows that it takes at once; None is any number
    reach: int | None = None  # pixels that an output sees in each direction; None is the whole picture

    @property
    def channels(self) -> int:
        """Of the pictures."""
        return 1 if self.order == "L" else 3

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of what it is shown: its one size, or the side of its training's pictures."""
        if self.sizes.fixed:
            return self.sizes.fixed
        side = self.sizes.at_least(self.trained_side)
        return side, side

    @property
    def cells_of_thin(self) -> tuple[int, int] | None:
        """Height and width of what it is shown around a thin hole, which needs less: a third of a side.

        None where it takes none so small, or where that would be little.
        """
        side = self.sizes.at_least(max(self.trained_side // 3, _LEAST_OF_THIN))
        return None if self.sizes.fixed or side >= self.trained_side else (side, side)

    def of_one_size(self) -> Interface:
        """This one, shown what it is shown as a rule and nothing else."""
        return replace(self, sizes=replace(self.sizes, fixed=self.cells))

    @property
    def rows(self) -> int | None:
        """How many pictures go through at once: any number where it is None, or exactly so many."""
        return self.batch if all("N" in layout for layout in self.layouts.values()) else 1

    @property
    def layouts(self) -> dict[str, str]:
        """The layout of each input and of the output, by name."""
        return {**{each.name: each.layout for each in self.inputs}, self.output.name: self.output.layout}

    @property
    def signature(self) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Names and shapes of the inputs and of the output, with "N", "H" and "W" for what is open."""
        counts = {"picture": self.channels, "mask": self.mask.channels, "ones": 1}
        inputs = {
            each.name: self._shape(each.layout, sum(counts[part] for part in each.parts))
            for each in self.inputs
        }
        return inputs, {self.output.name: self._shape(self.output.layout, self.channels)}

    @property
    def dtypes(self) -> dict[str, str]:
        """The type of each input and of the output, by name."""
        return {**{each.name: each.dtype for each in self.inputs}, self.output.name: self.output.dtype}

    def _shape(self, layout: str, channels: int) -> Shape:
        height, width = self.sizes.fixed or ("H", "W")
        rows: int | str = "N" if self.batch is None else self.batch
        sides = {"N": rows, "C": channels, "H": height, "W": width}
        return tuple(sides[axis] for axis in layout)

    def feeds(self, picture: Tensor, known: Tensor, arrays: Any = np) -> dict[str, Tensor]:
        """The network's inputs for ``picture [N, C, H, W]`` in [-1, 1] and ``known [N, 1, H, W]``, 0 or 1.

        What ``picture`` holds where nothing is known has no part in them. ``arrays`` is the module of the
        arrays, ``numpy`` or ``torch``. Where a layout has no axis for rows, one row comes without it, and
        several have it in front, for who runs them one by one.
        """
        colour = SEES[self.sees]
        values = self.range.of(picture * known + (colour or 0.0) * (1 - known), arrays)
        if colour is None:
            values = values * known
        if self.order == "BGR":
            values = arrays.flip(values, (1,))
        mask = known * (self.mask.known - self.mask.missing) + self.mask.missing
        parts = {"picture": [values], "mask": [mask] * self.mask.channels, "ones": [known * 0 + 1]}
        feeds = {}
        for each in self.inputs:
            planes = [plane for part in each.parts for plane in parts[part]]
            joined = planes[0] if len(planes) == 1 else arrays.concatenate(planes, 1)
            feeds[each.name] = _cast(_arranged(joined, each.layout, arrays), each.dtype, arrays)
        return feeds

    def drawn(self, outputs: Mapping[str, Tensor], arrays: Any = np) -> Tensor:
        """The picture [N, C, H, W] in [-1, 1] that the network drew, clipped to that; NaN stays NaN."""
        values = _cast(outputs[self.output.name], "float32", arrays)
        values = self.output.range.back(self.output.standard(values, arrays), arrays)
        if self.order == "BGR":
            values = arrays.flip(values, (1,))
        return arrays.clip(values, -1, 1)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, which ``from_json`` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Any, where: str) -> Interface:
        """The interface that ``document`` describes. Raises ModelError that names what is wrong."""
        interface = read_dataclass(cls, document, where)
        interface.check(where)
        return interface

    def check(self, where: str) -> None:
        """Raises ModelError where its parts do not go together; ``where`` says whose it is."""
        parts = [part for each in self.inputs for part in each.parts]
        names = [each.name for each in self.inputs]
        ranges = [len(each.mean) for each in (self.range, self.output.range)]
        wrong = {
            f"puts the picture into {parts.count('picture')} inputs; expected one": parts.count("picture")
            != 1,
            f"puts the mask into {parts.count('mask')} inputs; expected one": parts.count("mask") != 1,
            f"names its inputs {names}; expected different names": len(set(names)) != len(names),
            f"has a mask of {self.mask.channels} channels; expected 1 or 3": self.mask.channels not in (1, 3),
            f"has a mask of {self.mask.known:g} for known and missing pixels; expected two values": (
                self.mask.known == self.mask.missing
            ),
            f"has ranges of {ranges} channels; expected 1 or {self.channels}": (
                not set(ranges) <= {1, self.channels}
            ),
            "has a size, a multiple, a batch or a side of 0": not all(
                (self.sizes.multiple, self.sizes.smallest, self.trained_side, *(self.sizes.fixed or ()))
            )
            or self.batch == 0,
        }
        for problem, is_there in wrong.items():
            if is_there:
                raise ModelError(f"{where} {problem}")


def _arranged(values: Tensor, layout: str, arrays: Any) -> Tensor:
    """``values [N, C, H, W]`` with the axes of ``layout``, those that it has not being of one.

    But for several rows: they stay in front.
    """
    moved = arrays.moveaxis(values, _axes(layout), (0, 1, 2, 3))
    rows = (len(values),) * ("N" not in layout and len(values) != 1)
    return moved.reshape((*rows, *moved.shape[4 - len(layout) :]))


def _axes(layout: str) -> tuple[int, ...]:
    """Where in N, C, H, W the axes of ``layout`` are, behind those that it has not."""
    return tuple("NCHW".index(axis) for axis in sorted("NCHW", key=lambda axis: layout.find(axis)))


def _cast(values: Tensor, dtype: str, arrays: Any) -> Tensor:
    """``values`` as ``dtype``, whole numbers rounded."""
    own = getattr(arrays, dtype)
    if values.dtype == own:
        return np.ascontiguousarray(values) if arrays is np else values
    if dtype == "uint8":
        values = arrays.clip(arrays.round(values), 0, 255)
    return np.ascontiguousarray(values, own) if arrays is np else values.to(own)
