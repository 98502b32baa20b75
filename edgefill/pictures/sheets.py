"""Pictures of pictures: strips, sheets and animations, by Pillow alone and the same on every run."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgefill.errors import InputError
from edgefill.pictures.images import from_unit, read_picture, save_picture

_PAPER, _INK, _HOLE = "white", (70, 70, 70), (128, 128, 128)
_LABEL_HEIGHT = 16  # pixels below each row when there are labels


def save_image(image: Image.Image, path: Path) -> None:
    """Writes a picture of pictures by the suffix of ``path``, whatever its size. Raises OutputError."""
    save_picture(read_picture(image, max_pixels=image.width * image.height), path)


def masked_view(image: Image.Image, known: np.ndarray) -> Image.Image:
    """``image`` as RGB with its hole in flat mid-grey; ``known [H, W]`` is True where it is kept."""
    view = flat(image)
    view.paste(_HOLE, mask=Image.fromarray(~known))
    return view


def flat(image: Image.Image) -> Image.Image:
    """``image`` as 8-bit RGB: transparency on white, 16 bits scaled down."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _PAPER), image)
    return image.convert("RGB")


def pictures_of(batch: np.ndarray) -> list[Image.Image]:
    """The N pictures of ``batch [N, C, H, W]`` in [-1, 1], C = 1 or 3."""
    values = from_unit(np.moveaxis(batch, 1, -1))  # [N, H, W, C]
    return [Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture) for picture in values]


def strip(pictures: Sequence[Image.Image], labels: Sequence[str] = (), *, gap: int = 4) -> Image.Image:
    """``pictures`` side by side at their full size, such as input, masked, completed."""
    return sheet(pictures, labels, gap=gap, columns=len(pictures), cell=None)


def sheet(
    pictures: Sequence[Image.Image] | np.ndarray,
    labels: Sequence[str] = (),
    *,
    gap: int = 4,
    columns: int | None = None,
    cell: int | None = 512,
) -> Image.Image:
    """All ``pictures`` (or ``[N, C, H, W]`` in [-1, 1]) on one RGB page, as near to a square as can be.

    Each is centred in a cell as large as the largest; what exceeds ``cell`` pixels is scaled down.
    ``labels``, one per picture, are written below. Raises InputError where there is no picture.
    """
    batch = pictures_of(pictures) if isinstance(pictures, np.ndarray) else pictures
    images = [_shrunk(flat(image), cell) for image in batch]
    if not images:
        raise InputError("cannot draw a sheet: found no picture, expected at least one")
    wide, high = max(image.width for image in images), max(image.height for image in images)
    pitch_x, pitch_y = wide + gap, high + gap + (_LABEL_HEIGHT if labels else 0)
    columns = columns or max(1, min(len(images), round(math.sqrt(len(images) * pitch_y / pitch_x))))
    rows = math.ceil(len(images) / columns)
    page = Image.new("RGB", (columns * pitch_x + gap, rows * pitch_y + gap), _PAPER)
    for number, image in enumerate(images):
        left, top = gap + number % columns * pitch_x, gap + number // columns * pitch_y
        page.paste(image, (left + (wide - image.width) // 2, top + (high - image.height) // 2))
        if labels:
            _write(page, labels[number], (left + wide // 2, top + high + _LABEL_HEIGHT // 2), wide)
    return page


def gif_bytes(frames: Sequence[Image.Image], *, fps: float = 12, loops: int = 0) -> bytes:
    """A GIF of ``frames`` of one size, shown ``loops`` times (0: for ever).

    Grey is kept exactly; colours share one palette of 256, so that nothing flickers. Equal frames in a
    row are stored as one that lasts longer. Raises InputError where there is no frame.
    """
    if not frames:
        raise InputError("cannot draw an animation: found no frame, expected at least one")
    images = [flat(frame) for frame in frames]
    if all(frame.mode == "L" for frame in frames):
        images = [image.convert("L") for image in images]
    else:
        some = images[:: math.ceil(len(images) / 16)]
        palette = sheet([*some, images[-1]], gap=0, cell=256).quantize(256)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": images[1:], "duration": max(20, round(1000 / fps))}
    images[0].save(buffer, "GIF", **options, **({} if loops == 1 else {"loop": max(loops - 1, 0)}))
    return buffer.getvalue()


def _shrunk(image: Image.Image, side: int | None) -> Image.Image:
    longer = max(image.size)
    if side is None or longer <= side:
        return image
    size = [max(1, round(length * side / longer)) for length in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _write(page: Image.Image, label: str, centre: tuple[int, int], width: int) -> None:
    """Writes ``label`` on ``page``, shortened to ``width`` pixels."""
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    text = "".join(character if character.isprintable() else "?" for character in label)
    while len(text) > 1 and draw.textlength(text, font) > width:
        text = text.removesuffix("…")[:-1] + "…"
    draw.text(centre, text, _INK, font, anchor="mm")
