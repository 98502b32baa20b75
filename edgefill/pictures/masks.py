"""Masks: what users ask to be filled, turned into ``known``, True where a pixel is kept.

Users paint the opposite (white = fill), as in every editor; that meaning ends in this file.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgefill.errors import InputError
from edgefill.limits import shown
from edgefill.pictures.images import SUFFIXES, Picture, read_picture

# Kind → its parameter as shown, its default, its largest value.
_WITH_PARAMETER = {
    "center": ("scale", 0.25, 0.5),
    "random": ("fraction", 0.2, 1.0),
    "pattern": ("fraction", 0.25, 1.0),
}
_THRESHOLD = 127  # of painted masks and of alpha; what lies above it is white, or opaque
_PATTERN_GRID = 128  # the longer side of the grid that blobs are drawn on, whatever the picture's size
_PATTERN_SIGMA = 9.0  # pixels of that grid
_TICK = 2 * 10**9  # nanoseconds in which a folder may be changed twice and have one time: FAT counts by twos


@dataclass(frozen=True)
class MaskSpec:
    """A mask as it was asked for; what it is for one picture is ``known_pixels``."""

    kind: str  # a key of MASKS, or "alpha", "file", "folder", "picture"
    parameter: float = 0.0  # of center, random and pattern
    path: Path | None = None  # of file and folder
    picture: Picture | None = None  # of picture, white where it is filled
    roots: tuple[Path, ...] = ()  # of folder: the folders of pictures whose structure it has


def as_mask(mask: object) -> MaskSpec:
    """The mask that is meant: by its name, a path, or as a picture, white or True where it is filled.

    Raises InputError for what is none of these.
    """
    if isinstance(mask, MaskSpec):
        return mask
    if isinstance(mask, str | Path):
        return parse_mask(str(mask))
    if isinstance(mask, bytes | Image.Image | np.ndarray):
        return MaskSpec("picture", picture=read_picture(mask))
    raise InputError(
        f"cannot use a mask of the type {type(mask).__name__}: expected its name, the path or the bytes of a "
        "file, a Pillow picture, or an array of bool or uint8 that is True or 255 where the picture is filled"
    )


def parse_mask(text: str) -> MaskSpec:
    """The mask that ``text`` asks for: ``kind``, ``kind:parameter``, or the path of a file or folder.

    Raises InputError that lists the kinds where it is none of these.
    """
    kind, colon, parameter = text.partition(":")
    if kind in _WITH_PARAMETER:
        return MaskSpec(kind, _parse_parameter(text, kind, parameter if colon else None))
    if text in MASKS or text == "alpha":
        return MaskSpec(text)
    try:
        path = Path(text).expanduser()
        if text and path.is_dir():
            return MaskSpec("folder", path=path)
        if text and path.exists():
            return MaskSpec("file", path=path)
    except (OSError, RuntimeError, ValueError):
        pass  # no name that this system could have given to a file
    raise InputError(
        f"cannot use the mask {shown(text)!r}: no kind and no file has this name; expected {_kinds()}"
    )


def known_pixels(
    spec: MaskSpec,
    picture: Picture,
    *,
    seed: int,
    resize: bool = False,
    notices: list[str] | None = None,
) -> np.ndarray:
    """``known [H, W]`` bool of ``picture``: True where its pixels are kept, False where they are filled.

    The same seed and size give the same mask. A painted mask of another size is scaled (nearest
    neighbour) if ``resize``, else refused. What the reader should be told is appended to ``notices``.
    Raises InputError where the picture lacks what the mask needs.
    """
    height, width = picture.size
    if spec.kind in MASKS:
        hole = MASKS[spec.kind](height, width, spec.parameter, np.random.default_rng(seed))
        return np.ascontiguousarray(~hole)
    if spec.kind == "alpha":
        return _opaque(picture)
    path = spec.path or Path()
    if spec.kind == "folder":
        path = _mask_named_like(picture, spec)
    mask = spec.picture if spec.picture is not None else read_picture(path)
    what = repr(str(path)) if spec.picture is None else "that was given"
    return _known(mask, what, (height, width), resize, [] if notices is None else notices)


def _center(height: int, width: int, scale: float, _: np.random.Generator) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    far = 1 - scale
    hole[int(height * scale) : int(height * far), int(width * scale) : int(width * far)] = True
    return hole


def _random(height: int, width: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random((height, width)) < fraction


def _pattern(height: int, width: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random blobs: blurred noise, cut where ``fraction`` of the area lies below."""
    shrink = min(1.0, _PATTERN_GRID / max(height, width))
    grid = math.ceil(height * shrink), math.ceil(width * shrink)
    down, across = (_blur(size, _PATTERN_SIGMA * max(grid) / _PATTERN_GRID) for size in grid)
    noise = down @ rng.standard_normal(grid) @ across.T
    smooth = Image.fromarray(noise.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    missing = round(fraction * height * width)
    hole = np.zeros(height * width, bool)
    hole[np.argpartition(np.asarray(smooth).ravel(), missing - 1)[:missing]] = True
    return hole.reshape(height, width)


def _blur(size: int, sigma: float) -> np.ndarray:
    """The matrix that blurs a row of ``size`` with a Gaussian, which the ends cut off."""
    place = np.arange(size)
    weight = np.exp(-0.5 * np.square((place[:, None] - place) / sigma))
    blur: np.ndarray = weight / weight.sum(1, keepdims=True)
    return blur


def _grid(height: int, width: int, _: float, __: np.random.Generator) -> np.ndarray:
    hole = np.ones((height, width), bool)
    hole[::4, ::4] = False
    return hole


def _left(height: int, width: int, _: float, __: np.random.Generator) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[:, : width // 2] = True
    return hole


# Kind → the hole [H, W] of (height, width, parameter, rng).
MASKS: dict[str, Callable[[int, int, float, np.random.Generator], np.ndarray]] = {
    "center": _center,
    "random": _random,
    "left": _left,
    "right": lambda height, width, *rest: _left(height, width, *rest)[:, ::-1],
    "top": lambda height, width, *rest: _left(width, height, *rest).T,
    "bottom": lambda height, width, *rest: _left(width, height, *rest).T[::-1],
    "grid": _grid,
    "lowres": lambda height, width, *_: np.ones((height, width), bool),
    "full": lambda height, width, *_: np.zeros((height, width), bool),
    "pattern": _pattern,
}


def _kinds() -> str:
    names = [f"{kind}[:{_WITH_PARAMETER[kind][0]}]" if kind in _WITH_PARAMETER else kind for kind in MASKS]
    return ", ".join([*names, "alpha", "the path of a mask (white = fill) or of a folder of masks"])


def _parse_parameter(text: str, kind: str, parameter: str | None) -> float:
    name, default, largest = _WITH_PARAMETER[kind]
    try:
        value = default if parameter is None else float(parameter)
    except ValueError:
        value = math.nan
    if not 0 <= value <= largest:
        raise InputError(
            f"cannot use the mask {shown(text)!r}: its {name} is {shown(parameter)!r}, expected a number "
            f"from 0 to {largest:g}; {kind}:{default:g} is the default"
        )
    return value


def _opaque(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        raise InputError(
            f"cannot take the mask from the transparency of {picture.name!r}: it has none; expected an alpha "
            "channel or a transparent colour; choose another mask"
        )
    known: np.ndarray = picture.alpha == np.iinfo(np.uint8).max  # a soft edge would stay as a ring
    return known


def _mask_named_like(picture: Picture, spec: MaskSpec) -> Path:
    """The mask of ``picture`` in a folder of them: in the subfolder that it lies in, if there is one."""
    folder, stem = spec.path or Path(), Path(picture.name).stem
    within = _folder_within(picture, spec.roots)
    if within.parts and (folder / within).is_dir():
        folder = folder / within
    found = _masks_in(folder).get(stem, ())
    if len(found) != 1:
        raise InputError(
            f"cannot choose a mask for {picture.name!r}: {len(found)} files in {str(folder)!r} are named "
            f"{stem!r}, expected one (such as {stem + '.png'!r}); "
            + ("leave only one" if found else "add it, or take the picture out")
        )
    return found[0]


def _folder_within(picture: Picture, roots: tuple[Path, ...]) -> Path:
    """The folder of ``picture`` as counted from the one of ``roots`` that it lies in."""
    for root in roots:
        if picture.path and picture.path.is_relative_to(root):
            return picture.path.parent.relative_to(root)
    return Path()


def _masks_in(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """The pictures in ``folder`` by their stems. Raises InputError where it cannot be listed.

    Of thousands of masks they are listed once, and not for each picture; anew where the folder was changed.
    """
    try:
        changed = folder.stat().st_mtime_ns
        is_settled = time.time_ns() - changed > _TICK
        return _listed_once(folder, changed) if is_settled else _listed(folder)
    except OSError as error:
        raise InputError(f"cannot list the masks in {str(folder)!r}: {error.strerror}; check it") from error


@functools.lru_cache(maxsize=64)
def _listed_once(folder: Path, changed: int) -> Mapping[str, tuple[Path, ...]]:
    return _listed(folder)


def _listed(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def _known(mask: Picture, what: str, size: tuple[int, int], resize: bool, notices: list[str]) -> np.ndarray:
    grey = _as_grey(mask.values)
    if mask.size != size and not resize:
        raise InputError(
            f"cannot use the mask {what}: it has {mask.size[1]}×{mask.size[0]} pixels, expected the "
            f"picture's {size[1]}×{size[0]}; draw it at that size, or ask for it to be resized"
        )
    name = repr(mask.name) if mask.name else what
    if mask.alpha is not None and (mask.alpha <= _THRESHOLD).any():
        notices.append(f"the mask {name} is transparent in places: nothing is filled there")
        grey = np.where(mask.alpha > _THRESHOLD, grey, np.uint8(0))
    if grey.max() == 1:  # as programs write what is true
        notices.append(f"the mask {name} has the values 0 and 1: 1 is filled")
        grey = grey * np.uint8(255)
    if ((grey > 0) & (grey < 255)).any():
        notices.append(f"the mask {name} has grey values: those above {_THRESHOLD} are filled")
    hole = Image.fromarray(grey > _THRESHOLD)
    return ~np.asarray(hole.resize((size[1], size[0]), Image.Resampling.NEAREST))


def _as_grey(values: np.ndarray) -> np.ndarray:
    """``values [H, W, 1 or 3]`` as 8-bit grey ``[H, W]``."""
    if values.dtype == np.uint16:
        return (values[:, :, 0] >> 8).astype(np.uint8)
    return values[:, :, 0] if values.shape[2] == 1 else np.asarray(Image.fromarray(values).convert("L"))
