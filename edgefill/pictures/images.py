"""Pictures at the border: a file, a Pillow picture or an array becomes a Picture, and that a file again."""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgefill.errors import InputError
from edgefill.files import write_atomically
from edgefill.memory import BYTES_TO_READ, check_memory
from edgefill.pictures.metadata import Metadata
from edgefill.pictures.modes import WITHOUT_PROFILE, pixels_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

READABLE = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20

# Format → Pillow's options. All but JPEG give every pixel back as it was.
_WRITABLE: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 2},  # photographs: a quarter of the time of 6, files half a percent larger
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True, "exact": True},
    "bmp": {},
    "tiff": {"compression": "tiff_adobe_deflate"},
}
NOTHING = Metadata()
_QUICKLY: dict[str, dict[str, Any]] = {"webp": {"quality": 0, "method": 0}}
ENCODABLE = tuple(_WRITABLE)
_SHORT_NAMES = {"jpg": "jpeg", "tif": "tiff"}
_HOLDS_ALPHA = {"png", "webp", "tiff"}
_HOLDS_16_BITS = {"png", "tiff"}

# Filters of warnings belong to the whole process until Python 3.14: one thread at a time changes them.
_FILTERS_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture: ``values [H, W, C]``, C = 1 (grey, uint8 or uint16) or 3 (RGB, uint8)."""

    values: np.ndarray
    alpha: np.ndarray | None = None  # [H, W] uint8; never with uint16 values
    name: str = ""  # of the file, without its folder; empty where it came from memory
    path: Path | None = None  # of the file, as it was named
    notices: tuple[str, ...] = ()  # what the reader should be told
    metadata: Metadata = NOTHING  # what its file said beside the pixels, written back with them

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.values.shape[0], self.values.shape[1]

    def replaced(self, values: np.ndarray) -> Picture:
        """The same picture with other ``values [H, W, C]``; alpha, name and profile stay."""
        return replace(self, values=values)

    def to_pil(self) -> Image.Image:
        """As a Pillow picture of mode L, LA, RGB, RGBA or I;16."""
        bands = self.values if self.alpha is None else np.dstack([self.values, self.alpha])
        return Image.fromarray(bands[:, :, 0] if bands.shape[2] == 1 else bands)


def read_picture(
    source: str | Path | bytes | Image.Image | np.ndarray,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    bytes_a_pixel: int = BYTES_TO_READ,
) -> Picture:
    """The Picture in a file, its bytes, a Pillow picture or an array ``[H, W]`` or ``[H, W, 1 to 4]``.

    ``bytes_a_pixel`` is the memory that will be needed, which is compared with what there is first.

    An array is uint8, bool, or uint16 where it is grey; its second or fourth channel is alpha. Sizes are
    compared with the limits before anything is decoded. Files are turned upright by their EXIF orientation;
    of an animation the first frame is read. Raises InputError for whatever cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        with _decoding("the picture", max_pixels):
            return _from_pillow(source, "", "the picture", max_pixels)
    if isinstance(source, bytes):
        return _from_bytes(source, max_pixels, max_bytes, bytes_a_pixel)
    if not isinstance(source, str | Path):
        raise InputError(
            f"cannot read a picture of the type {type(source).__name__}: expected a path, the bytes of a "
            "file, a Pillow picture or an array"
        )
    path, what = Path(source), repr(str(source))  # repr shows newlines and undecodable bytes as escapes
    _check_file(path, what, max_bytes)
    with _decoding(what, max_pixels), path.open("rb") as file, Image.open(file, formats=READABLE) as image:
        check_memory(image.width * image.height, bytes_a_pixel, what)
        return replace(_from_pillow(image, path.name, what, max_pixels), path=path)


def open_picture(content: bytes, what: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The Pillow picture in ``content``, a file's, of which only the header is read; ``what`` names it.

    ``read_picture`` decodes it. Raises InputError where it is none, or claims too many pixels.
    """
    with _decoding(what, max_pixels):
        image = Image.open(io.BytesIO(content), formats=READABLE)
        _check_size(image.height, image.width, what, max_pixels)
    return image


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """Every file of ``paths``, folders replaced by the pictures in them (recursive, sorted, none hidden).

    What is no folder is taken as it is, so that reading it says what is wrong with it. Raises InputError for
    a folder that cannot be listed, and where nothing is found.
    """
    named = [Path(path) for path in paths]
    found = [file for path in named for file in (_pictures_below(path) if is_folder(path) else [path])]
    if not found:
        places = ", ".join(repr(str(path)) for path in named) or "an empty list"
        raise InputError(
            f"no picture in {places}: expected files ending in {' '.join(sorted(SUFFIXES))}; "
            "name a folder that has some, or the files themselves"
        )
    return list(dict.fromkeys(found))


def encode_picture(
    picture: Picture, format: str = "png", *, quality: int | None = None, quick: bool = False
) -> bytes:
    """The file content of ``picture`` as ``png``, ``webp``, ``tiff``, ``bmp`` (all lossless) or ``jpeg``.

    ``quick`` makes WebP in a fraction of the time, and somewhat larger. JPEG, of the ``quality`` 95
    unless given, and BMP hold no transparency: it is laid on white. 16-bit grey fits PNG and TIFF only. Of
    the metadata as much is written as the format holds. Raises InputError for another format, for 16 bits
    elsewhere, and for a picture larger than the format allows.
    """
    kind = check_format(format)
    if picture.values.dtype == np.uint16 and kind not in _HOLDS_16_BITS:
        raise InputError(f"cannot write 16-bit grey as {kind}, which holds 8 bits; choose png or tiff")
    image = picture.to_pil()
    if picture.alpha is not None and kind not in _HOLDS_ALPHA:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert(image.mode[:-1])
    buffer = io.BytesIO()
    options = _WRITABLE[kind] | (_QUICKLY.get(kind, {}) if quick else {})
    options |= {"quality": quality} if quality and kind == "jpeg" else {}
    try:
        image.save(buffer, kind, **(options | picture.metadata.options(kind)))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {image.width}×{image.height} pixels as {kind}: {error}") from error
    return buffer.getvalue()


def check_format(format: str) -> str:
    """The name of the ``format`` or suffix, such as "jpeg" of ".JPG". Raises InputError for another."""
    kind = kind_of_suffix(format)
    if kind is None:
        name = format.lower().removeprefix(".")
        raise InputError(f"cannot write a picture as {name!r}; expected one of {', '.join(_WRITABLE)}")
    return kind


def kind_of_suffix(suffix: str) -> str | None:
    """The name of the format that ``suffix`` stands for; None where it cannot be written."""
    name = suffix.lower().removeprefix(".")
    kind = _SHORT_NAMES.get(name, name)
    return kind if kind in _WRITABLE else None


def save_picture(picture: Picture, path: str | Path) -> None:
    """Writes ``picture`` to ``path`` whole or not at all, in the format of its suffix.

    Raises InputError where ``encode_picture`` does, OutputError where the file cannot be written.
    """
    write_atomically(path, encode_picture(picture, Path(path).suffix[1:]))


def to_unit(values: np.ndarray) -> np.ndarray:
    """``values`` of uint8 or uint16 as float32 in [-1, 1]."""
    half = np.float32(np.iinfo(values.dtype).max / 2)
    unit: np.ndarray = values.astype(np.float32) / half - np.float32(1)
    return unit


def planes(pictures: np.ndarray) -> np.ndarray:
    """uint8 ``pictures [N, H, W, C]`` as float [N, C, H, W] in [-1, 1]."""
    return np.ascontiguousarray(to_unit(pictures).transpose(0, 3, 1, 2))


def from_unit(unit: np.ndarray, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """``unit`` in [-1, 1] as ``dtype`` (uint8 or uint16), rounded to the nearest and clipped."""
    half = np.iinfo(dtype).max / 2
    values: np.ndarray = np.rint((np.clip(unit, -1, 1) + 1) * half).astype(dtype)
    return values


def luminance(unit: np.ndarray) -> np.ndarray:
    """The luminance ``[H, W, 1]`` (ITU-R BT.601) of RGB ``unit [H, W, 3]``, in the same range."""
    red, green, blue = np.split(unit, 3, axis=-1)
    y: np.ndarray = 0.299 * red + 0.587 * green + 0.114 * blue
    return y


def split_luminance(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance Y ``[H, W, 1]`` and chroma (Cb, Cr) ``[H, W, 2]`` of RGB ``unit [H, W, 3]`` (BT.601).

    With RGB in [-1, 1] all three lie in [-1, 1]; nothing is rounded, so ``join_luminance`` gives RGB back.
    """
    y = luminance(unit)
    blue, red = (unit[..., 2:] - y) / 1.772, (unit[..., :1] - y) / 1.402
    return y, np.concatenate([blue, red], axis=-1)


def join_luminance(y: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """RGB ``[H, W, 3]`` of luminance ``y [H, W, 1]`` and ``chroma [H, W, 2]`` (Cb, Cr)."""
    red, blue = y + 1.402 * chroma[..., 1:], y + 1.772 * chroma[..., :1]
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return np.concatenate([red, green, blue], axis=-1)


def _from_bytes(content: bytes, max_pixels: int, max_bytes: int, bytes_a_pixel: int) -> Picture:
    what = "the bytes of a picture"
    _check_length(len(content), what, max_bytes)
    with _decoding(what, max_pixels), Image.open(io.BytesIO(content), formats=READABLE) as image:
        check_memory(image.width * image.height, bytes_a_pixel, what)
        return _from_pillow(image, "", what, max_pixels)


def _check_file(path: Path, what: str, max_bytes: int) -> None:
    # Before opening: a named pipe would wait for a writer for ever.
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {what}: {reason}; expected a picture, check the name") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"cannot read {what}: it is a folder, expected a picture; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"cannot read {what}: it is a device, pipe or socket; expected a regular file")
    _check_length(status.st_size, what, max_bytes)


def _check_length(length: int, what: str, max_bytes: int) -> None:
    if length == 0:
        raise InputError(f"cannot read {what}: the file is empty, expected a picture; get a whole copy of it")
    if length > max_bytes:
        raise InputError(
            f"cannot read {what}: it has {length:,} bytes, expected at most {max_bytes:,}; save it smaller"
        )


@contextmanager
def _decoding(what: str, max_pixels: int) -> Iterator[None]:
    """Turns whatever Pillow raises on damaged or hostile files into an InputError; silences its warnings."""
    with _FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            raise InputError(
                f"cannot read {what}: its header claims more pixels than Pillow decodes; expected at most "
                f"{max_pixels:,}; scale it down, or get an honest copy of it"
            ) from error
        except UnidentifiedImageError as error:
            raise InputError(
                f"cannot read {what}: its content is no picture that is known here; expected one of "
                f"{', '.join(READABLE)}; convert it, or get a whole copy of it"
            ) from error
        except Exception as error:  # decoders raise anything from struct.error to IndexError
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(
                f"cannot read {what}: {reason}; expected a whole, readable picture; check the file, "
                "or open it elsewhere and save it anew"
            ) from error


def _from_pillow(image: Image.Image, name: str, what: str, max_pixels: int) -> Picture:
    _check_size(image.height, image.width, what, max_pixels)
    notices = []
    if getattr(image, "is_animated", False):
        notices.append(f"first of {getattr(image, 'n_frames', 2)} frames")
    tiles = getattr(image, "tile", ())
    if image.mode in ("RGB", "RGBA", "LA") and any(map(_has_16_bits, tiles)):
        notices.append("16 bits a channel read as 8")
    image.load()
    metadata = NOTHING
    try:
        metadata = Metadata.of(image)
        if name:
            ImageOps.exif_transpose(image, in_place=True)  # no second picture where it is upright
        else:
            image = ImageOps.exif_transpose(image)  # the caller's stays as it is
    except Exception:  # noqa: BLE001  damaged EXIF raises anything, and the pixels do not need it
        notices.append("its EXIF data is damaged: orientation not known")
    values, alpha, notice = pixels_of(image)
    if image.mode in WITHOUT_PROFILE:
        metadata = replace(metadata, icc_profile=b"")
    return Picture(values, alpha, name, notices=(*notices, *notice), metadata=metadata)


def _has_16_bits(tile: Any) -> bool:
    """Whether ``tile``, as Pillow describes a part of a file, is decoded from 16 bits a channel."""
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    return any(";16" in str(each) for each in arguments) or (tile[0] == "ppm" and arguments[-1] > 255)


def _from_array(array: np.ndarray, max_pixels: int) -> Picture:
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    usable = array.dtype in (np.uint8, np.bool_) or (array.dtype == np.uint16 and channels == 1)
    if channels not in (1, 2, 3, 4) or not usable:
        raise InputError(
            f"cannot read an array of shape {array.shape} and type {array.dtype}: expected [H, W] or "
            "[H, W, 1 to 4] of uint8 or bool, or uint16 grey; from_unit makes uint8 of floats in [-1, 1]"
        )
    _check_size(array.shape[0], array.shape[1], "the array", max_pixels)
    bands = array.reshape(*array.shape[:2], channels)
    bands = np.where(bands, np.uint8(255), np.uint8(0)) if array.dtype == np.bool_ else bands.copy()
    if channels % 2 == 0:
        return Picture(bands[:, :, :-1], bands[:, :, -1])
    return Picture(bands)


def _check_size(height: int, width: int, what: str, max_pixels: int) -> None:
    if not 0 < height * width <= max_pixels:
        raise InputError(
            f"cannot read {what}: it has {width:,}×{height:,} pixels, expected between 1 and {max_pixels:,}; "
            "scale it down"
        )


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that can be looked at."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # a name too long, or a folder that may not be entered: reading it says which


def _pictures_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(
            f"cannot list the folder {error.filename!r}: {error.strerror}; check its permissions"
        )

    found = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = (name for name in sorted(files) if not name.startswith("."))
        found += [Path(place, name) for name in names if Path(name).suffix.lower() in SUFFIXES]
    return found
