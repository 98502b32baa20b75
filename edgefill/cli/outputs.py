"""Where the results of ``edgefill complete`` go, decided before anything is computed; and writing them."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgefill.errors import InputError, OutputError
from edgefill.files import write_atomically
from edgefill.holes.boxes import Box
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
_STRIP_SIDE = 4096  # pixels: larger pictures are shown in half of that


@dataclass(frozen=True, slots=True)
class Outputs:
    """One input and the files that are made of it; ``extras`` by the names in EXTRAS."""

    source: Path
    picture: Path
    extras: dict[str, Path]
    name: Path  # of the source, below the folder that was given

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

    What lies in ``out`` is no input where that is inside one of these folders: an earlier run wrote it.

    Raises InputError where two inputs would write the same file, OutputError where an output is an input.
    """
    if format not in _FORMATS:
        raise InputError(f"cannot write the format {format!r}; expected one of {', '.join(_FORMATS)}")
    plan: dict[Path, Outputs] = {}
    for source in sources:
        root = source if is_folder(source) else source.parent
        for file in _inputs(source, out):
            name = file.relative_to(root)
            place = out / name.parent
            named = {extra: place / (file.stem + EXTRAS[extra]) for extra in extras}
            picture = place / f"{file.stem}{_suffix(file, format)}"
            plan.setdefault(file, Outputs(file, picture, named, name))
    _refuse_clashes([*plan.values()], [out / SHEET_NAME] if sheet else [])
    return [*plan.values()]


def _inputs(source: Path, out: Path) -> list[Path]:
    """The pictures of ``source``; of a folder around ``out`` those beside that, if there are any."""
    found, inside = find_pictures([source]), _resolved(out)
    if not is_folder(source) or _resolved(source) == inside:
        return found
    folders = {file.parent for file in found}
    written = {each for each in folders if f"{_resolved(each)}{os.sep}".startswith(inside + os.sep)}
    return [file for file in found if file.parent not in written] or found


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
        both = [str(outputs.source) for outputs in plan if twice[0] in outputs.paths]
        raise InputError(
            f"{' and '.join(map(repr, both))} would {'both ' * (len(both) > 1)}be written to "
            f"{str(twice[0])!r}; expected one input for each output; rename one, or run them apart"
        )
    inputs = {where for _, where in _all_resolved(outputs.source for outputs in plan)}
    for path, where in _all_resolved(paths):
        if where in inputs:
            raise OutputError(
                f"{str(path)!r} is an input and would be overwritten; expected another folder; change --out"
            )


def _all_resolved(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each of ``paths`` and where it leads; each folder is looked up once, however many lie in it."""
    folders: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if name in ("", "..") or os.path.islink(path):  # noqa: PTH114  a name too long is none
            yield path, _resolved(path)
            continue
        if folder not in folders:
            folders[folder] = _resolved(Path(folder))
        yield path, os.path.join(folders[folder], name)  # noqa: PTH118  a million of them


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
    told = []
    large = max(result.picture.size)
    if "strip" in outputs.extras:
        side = large if large <= _STRIP_SIDE else _STRIP_SIDE // 2
        save_image(strip([_within(view, side) for view in views(result)]), outputs.extras["strip"])
        told += [f"its strip is scaled down to {side} pixels a picture"] * (side < large)
    if "gif" in outputs.extras:
        most, region = _GIF_SIDES[1], max(result.photograph.known.shape)
        told += [f"its animation is scaled down to {most} pixels"] * (region > most)
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
    write_atomically(outputs.picture, encoded(result, kind, record, quality))
    lost = result.picture.metadata.left_out(kind)
    return told + [f"{kind} does not hold its {' and '.join(lost)}: left out"] * bool(lost)


def encoded(result: Result, kind: str, record: dict[str, Any], quality: int | None) -> bytes:
    """The completed picture as a file of the format ``kind``; a PNG has ``record`` as its text."""
    content = encode_picture(result.picture, kind, quality=quality)
    if kind == "png":
        content = with_png_text(content, "edgefill", json.dumps(record, sort_keys=True))
    return content


def views(result: Result) -> Iterator[Image.Image]:
    """Input, masked and completed picture, then what else was asked for: candidates and confidence.

    One after the other: of a large picture all at once are gigabytes.
    """
    yield result.photograph.picture.to_pil()
    yield result.masked
    yield result.image
    for candidate in result.candidates[1:]:
        yield candidate.image
    if result.confidence is not None:
        yield Image.fromarray(result.confidence)


def _within(view: Image.Image, side: int) -> Image.Image:
    """``view`` as 8-bit RGB, scaled down to ``side`` pixels where it is larger."""
    if view.mode.startswith("I;16"):  # which Pillow does not scale
        view = flat(view)
    view.thumbnail((side, side), reducing_gap=2.0)
    return flat(view)


def _animation(result: Result, blend: str) -> list[Image.Image]:
    """The box of the picture, masked, then as the search filled it, then as it ended; of a GIF's size."""
    least, most = _GIF_SIDES
    photograph, box = result.photograph.reduced(most), result.photograph.box
    on_the_way = [photograph.finished(generated, blend) for generated in result.frames]
    cut = [_cut(picture.to_pil(), photograph.box) for picture in (photograph.masked(), *on_the_way)]
    end = _cut(result.image, box)
    size = cut[0].size
    factor = max(1, least // max(size))
    enlarged = (size[0] * factor, size[1] * factor)
    plain = [frame if frame.mode == "L" else flat(frame) for frame in (*cut, end)]
    frames = [frame.resize(enlarged) for frame in plain]
    return frames + frames[-1:] * (_GIF_REST - 1)


def _cut(image: Image.Image, box: Box) -> Image.Image:
    return image.crop((box.x, box.y, box.x + box.width, box.y + box.height))


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
        shown = [_within(view, _SHEET_SIDE) for view in views(result)]
        self._strips.append(strip(shown, gap=2))

    def save(self, path: Path) -> bool:
        """Writes the sheet; False where nothing was completed."""
        if self._strips:
            save_image(sheet(self._strips, cell=None), path)
        return bool(self._strips)
