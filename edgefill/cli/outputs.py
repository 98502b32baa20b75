"""Where the results of ``edgefill complete`` go, decided before anything is computed; and writing them."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgefill.errors import InputError, OutputError
from edgefill.files import write_atomically
from edgefill.limits import LIMITS
from edgefill.pictures.images import (
    check_format,
    encode_picture,
    find_pictures,
    is_folder,
    kind_of_suffix,
    save_picture,
)
from edgefill.pictures.sheets import flat, gif_bytes, save_image, sheet, strip

if TYPE_CHECKING:
    from edgefill.completion import Result

_CANDIDATES = range(2, int(LIMITS["candidates"].most) + 1)
EXTRAS = {
    "strip": ".strip.png", "gif": ".gif", "trace": ".trace.npz", "confidence": ".confidence.png",
    **{f"candidate-{number}": f".candidate-{number}.png" for number in _CANDIDATES},
}  # fmt: skip
SHEET_NAME = "sheet.png"
GIF_FRAMES = 24
_SAME = "same"  # as the input, where that can be written
_FORMATS = ("png", "webp", "tiff", "bmp", "jpeg", "jpg", "tif", _SAME)
_GIF_SIDES = (256, 512)  # pixels of the longer side of an animation, about at least and at most
_GIF_REST = 12  # frames for which its end stands still
_SHEET_PICTURES, _SHEET_SIDE = 256, 160


@dataclass(frozen=True)
class Outputs:
    """One input and the files that are made of it; ``extras`` by the names in EXTRAS."""

    source: Path
    picture: Path
    extras: dict[str, Path]

    @property
    def paths(self) -> list[Path]:
        return [self.picture, *self.extras.values()]

    @property
    def exist(self) -> bool:
        """Whether they were written before: the picture is the last of them, and candidates may be fewer."""
        return os.path.lexists(self.picture)


def plan_outputs(
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "png",
    extras: Iterable[str] = (),
    sheet: bool = False,
) -> list[Outputs]:
    """The Outputs of each picture in ``sources``; folders keep their structure below ``out``.

    Raises InputError where two inputs would write the same file, OutputError where an output is an input.
    """
    if format not in _FORMATS:
        raise InputError(f"cannot write the format {format!r}; expected one of {', '.join(_FORMATS)}")
    plan: dict[Path, Outputs] = {}
    for source in sources:
        root = source if is_folder(source) else source.parent
        for file in find_pictures([source]):
            place = out / file.relative_to(root).parent
            named = {extra: place / (file.stem + EXTRAS[extra]) for extra in extras}
            plan.setdefault(file, Outputs(file, place / f"{file.stem}{_suffix(file, format)}", named))
    _refuse_clashes([*plan.values()], [out / SHEET_NAME] if sheet else [])
    return [*plan.values()]


def _suffix(source: Path, format: str) -> str:
    """Of the picture made of ``source``: the source's own where it is of that format, such as .JPG."""
    own = kind_of_suffix(source.suffix)
    if format == _SAME:
        return source.suffix if own else ".png"
    return source.suffix if own == check_format(format) else f".{format}"


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raises OutputError where one of ``paths`` exists already."""
    existing = [path for path in paths if os.path.lexists(path)]
    if existing:
        raise OutputError(
            f"{len(existing)} of {len(paths)} outputs exist already, such as {str(existing[0])!r}; expected "
            "none; add --force to replace them, or choose another place"
        )


def _refuse_clashes(plan: Sequence[Outputs], others: Sequence[Path]) -> None:
    paths = [path for outputs in plan for path in outputs.paths] + list(others)
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        inputs = [str(outputs.source) for outputs in plan if twice[0] in outputs.paths]
        raise InputError(
            f"{' and '.join(map(repr, inputs))} would {'both ' * (len(inputs) > 1)}be written to "
            f"{str(twice[0])!r}; expected one input for each output; rename one, or run them apart"
        )
    inputs_resolved = {_resolved(outputs.source) for outputs in plan}
    for path in paths:
        if _resolved(path) in inputs_resolved:
            raise OutputError(
                f"{str(path)!r} is an input and would be overwritten; expected another folder; change --out"
            )


def _resolved(path: Path) -> str:
    """Where ``path`` leads, as far as that can be found out: not around a circle of links."""
    try:
        return os.path.realpath(path)
    except OSError:  # a relative one, and the folder that this runs in is gone
        return os.path.normpath(path)


def write_result(
    result: Result, outputs: Outputs, record: dict[str, Any], blend: str, quality: int | None = None
) -> list[str]:
    """Writes the extras, then the picture (a PNG with ``record`` as its text). Raises EdgefillError.

    Returns what the reader should be told of it.
    """
    if "strip" in outputs.extras:
        save_image(strip(views(result)), outputs.extras["strip"])
    if "gif" in outputs.extras:
        write_atomically(outputs.extras["gif"], gif_bytes(_animation(result, blend)))
    for number, candidate in enumerate(result.candidates[1:], start=2):
        save_picture(candidate.picture, outputs.extras[f"candidate-{number}"])
    if result.confidence is not None:
        save_image(Image.fromarray(result.confidence), outputs.extras["confidence"])
    if "trace" in outputs.extras and result.trace is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, loss=result.trace.loss, z=result.trace.z)
        write_atomically(outputs.extras["trace"], buffer.getvalue())
    kind = check_format(outputs.picture.suffix)
    content = encode_picture(result.picture, kind, quality=quality)
    if kind == "png":
        content = with_png_text(content, "edgefill", json.dumps(record, sort_keys=True))
    write_atomically(outputs.picture, content)
    lost = result.picture.metadata.left_out(kind)
    return [f"{kind} does not hold its {' and '.join(lost)}: left out"] if lost else []


def views(result: Result) -> list[Image.Image]:
    """Input, masked and completed picture, then what else was asked for: candidates and confidence."""
    shown = [result.photograph.picture.to_pil(), result.masked, result.image]
    shown += [candidate.image for candidate in result.candidates[1:]]
    return shown if result.confidence is None else [*shown, Image.fromarray(result.confidence)]


def _animation(result: Result, blend: str) -> list[Image.Image]:
    """The box of the picture, masked, then as the search filled it, then as it ended."""
    photograph, box = result.photograph, result.photograph.box
    on_the_way = [photograph.finished(generated, blend).to_pil() for generated in result.frames]
    frames = [result.masked, *on_the_way, *[result.image] * _GIF_REST]
    cut = [frame.crop((box.x, box.y, box.x + box.width, box.y + box.height)) for frame in frames]
    least, most = _GIF_SIDES
    factor = max(1, least // max(box.width, box.height))
    plain = [frame if frame.mode == "L" else flat(frame) for frame in cut]
    enlarged = [frame.resize((frame.width * factor, frame.height * factor)) for frame in plain]
    for frame in enlarged:
        frame.thumbnail((most, most))
    return enlarged


def with_png_text(content: bytes, keyword: str, text: str) -> bytes:
    """The PNG file ``content`` with a text chunk (ASCII) after its header, where every viewer finds it."""
    chunk = b"tEXt" + keyword.encode("ascii") + b"\0" + text.encode("ascii")
    framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    header = 8 + 25  # the signature, and IHDR with its length and checksum
    return content[:header] + framed + content[header:]


class Sheet:
    """The first pictures of a run on one page, each with its views side by side, scaled down."""

    def __init__(self) -> None:
        self._strips: list[Image.Image] = []
        self.left_out = 0

    def add(self, result: Result) -> None:
        if len(self._strips) == _SHEET_PICTURES:
            self.left_out += 1
            return
        shown = [flat(view) for view in views(result)]  # Pillow does not scale 16 bits of grey
        for view in shown:
            view.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
        self._strips.append(strip(shown, gap=2))

    def save(self, path: Path) -> bool:
        """Writes the sheet; False where nothing was completed."""
        if self._strips:
            save_image(sheet(self._strips, cell=None), path)
        return bool(self._strips)
