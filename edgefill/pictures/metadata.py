"""What a file says beside its pixels, and what is made of it keeps: EXIF, XMP, resolution, texts, colours.

The orientation is that of an upright picture, and a thumbnail stays behind: it would show what was there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

_XMP = "XML:com.adobe.xmp"  # the keyword of a PNG's text that is XMP
_OWN = "edgefill"  # the keyword of our record, which belongs to another picture than the one that is read
_TURNED = (5, 6, 7, 8)  # orientations in which the sides change places
_DESCRIPTIVE = frozenset(  # tags of the first directory that say something of the picture, not of its file
    {
        ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software,
        ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright, ExifTags.Base.Rating,
        ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPAuthor, ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
    }
)  # fmt: skip
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_ORIENTATION_IN_XMP = re.compile(rb"(tiff:Orientation(?:=[\"']|>))\d")
_MOST_XMP_OF_JPEG = 65_000  # bytes that one segment takes

# Format → what it holds beside the pixels.
HOLDS = {
    "png": frozenset({"exif", "xmp", "dpi", "texts", "icc_profile"}),
    "jpeg": frozenset({"exif", "xmp", "dpi", "icc_profile"}),
    "webp": frozenset({"exif", "xmp", "icc_profile"}),
    "tiff": frozenset({"exif", "xmp", "dpi", "icc_profile"}),
    "bmp": frozenset({"dpi"}),
}
_NAMES = {
    "exif": "EXIF data", "xmp": "XMP data", "dpi": "resolution", "texts": "PNG text",
    "icc_profile": "colour profile",
}  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """Of one upright picture; what is not there is empty."""

    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)  # of a PNG, by keyword
    icc_profile: bytes = b""  # the colour space of the values

    @classmethod
    def of(cls, image: Image.Image) -> Metadata:
        """Of a loaded picture, before it is turned upright. Damaged EXIF raises whatever it likes."""
        exif = image.getexif()
        turned = exif.get(ExifTags.Base.Orientation) in _TURNED
        return cls(
            exif=_upright_exif(exif, turned),
            xmp=_xmp_of(image),
            dpi=_dpi_of(image, turned),
            texts={
                str(key): str(text)
                for key, text in getattr(image, "text", {}).items()
                if key not in (_XMP, _OWN) and not key.startswith("Raw profile")
            },
            icc_profile=image.info.get("icc_profile") or b"",
        )

    def left_out(self, format: str) -> list[str]:
        """What ``format`` does not hold of it, for people."""
        lost = [name for name in _NAMES if getattr(self, name) and name not in HOLDS[format]]
        if format == "jpeg" and len(self.xmp) > _MOST_XMP_OF_JPEG:
            lost.append("xmp")
        return [_NAMES[name] for name in lost]

    def options(self, format: str) -> dict[str, Any]:
        """As Pillow's ``save`` takes it for ``format``."""
        held = {name: getattr(self, name) for name in HOLDS[format] if getattr(self, name)}
        texts, xmp = held.pop("texts", {}), held.pop("xmp", b"")
        if format == "png" and (texts or xmp):
            held["pnginfo"] = _png_texts(texts, xmp)
        elif format == "tiff":
            held |= _of_tiff(self.exif, xmp)
        elif xmp and not (format == "jpeg" and len(xmp) > _MOST_XMP_OF_JPEG):
            held["xmp"] = xmp
        return held


def _upright_exif(exif: Image.Exif, turned: bool) -> bytes:
    kept = Image.Exif()
    for tag in _DESCRIPTIVE & set(exif):
        kept[tag] = exif[tag]
    for directory in _DIRECTORIES:
        if values := dict(exif.get_ifd(directory)):
            sides = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
            if turned and set(sides) <= set(values):
                values[sides[0]], values[sides[1]] = values[sides[1]], values[sides[0]]
            values.pop(ExifTags.Base.MakerNote, None)  # its offsets are lost, and it often holds a preview
            kept.get_ifd(directory).update(values)
            kept[directory] = values
    if not len(kept):
        return b""
    kept[ExifTags.Base.Orientation] = 1
    return kept.tobytes()


def _of_tiff(exif: bytes, xmp: bytes) -> dict[str, Any]:
    """A TIFF has its XMP beside its EXIF; one with subdirectories is written plain, as Pillow can."""
    both = Image.Exif()
    if exif:
        both.load(exif)
    if xmp:
        both[700] = xmp
    plain = {"compression": None} if set(_DIRECTORIES) & set(both) else {}
    return {"exif": both.tobytes(), **plain} if len(both) else {}


def _xmp_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.info.get(_XMP) or b""
    content = found.encode() if isinstance(found, str) else bytes(found)
    return _ORIENTATION_IN_XMP.sub(rb"\g<1>1", content)


def _dpi_of(image: Image.Image, turned: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(each) for each in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return None
    return (down, across) if turned else (across, down)


def _png_texts(texts: Mapping[str, str], xmp: bytes) -> PngInfo:
    info = PngInfo()
    for key, text in texts.items():
        try:
            info.add_text(key, text)
        except UnicodeError:
            info.add_itxt(key, text)
    if xmp:
        info.add_itxt(_XMP, xmp.decode("utf-8", "replace"))
    return info
