"""Writes docs/gallery.md: what each model makes of holes in photographs, in pictures and in figures.

    PYTHONPATH=. python docs/gallery.py --model MIGAN.edgefill    # without it the tables alone

The figures are those that `python -m benchmarks.photographs --sets kodak --name gallery` recorded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from benchmarks.fillers import contender, fillers, painted
from benchmarks.photographs import Sample
from benchmarks.pictures import MIGAN_PIPELINE, PHOTOS
from edgefill.files import write_atomically
from edgefill.pictures.sheets import masked_view, sheet

ROOT = Path(__file__).resolve().parents[1]
PAGE, RECORD = ROOT / "docs" / "gallery.md", ROOT / "benchmarks" / "results" / "gallery.json"
CELL = 256

SHOWN = {"strokes": ("05", "15", "23"), "blobs": ("03", "08", "16"), "box": ("07", "12", "20")}  # of Kodak
CUT = ("strokes", "blobs")  # kinds of which a part is shown, pixel by pixel
LABELS = {
    "photos-cpu": "**photos** (bundled)",
    "migan-cpu": "**MI-GAN**, imported",
    "migan-openvino": "the same in OpenVINO",
    "smooth-cpu": "**smooth** (no model)",
    "pipeline-white": "MI-GAN's own pipeline, hole painted white",
    "pipeline-black": "the same, black",
    "telea": "OpenCV, Telea",
    "navier-stokes": "OpenCV, Navier-Stokes",
    "biharmonic": "scikit-image, biharmonic",
    "harmonic": "harmonic (Laplace)",
}
_DRAWN = ("photos-cpu", "migan-cpu", "smooth-cpu", "telea", "harmonic")  # a column each, with a plain label

_INTRODUCTION = """# Gallery

Made by `make gallery`: three of the 24 Kodak pictures for each kind of hole, as every method completes them,
and below each sheet the figures of all. What lies under the mask was painted over, so that nobody could peek.
"""

_KINDS = {
    "strokes": """## Strokes

A part of each picture, pixel by pixel. What is beside a thin hole says most of what was in it, so that all
are near; a network lets edges meet.""",
    "blobs": """## Blobs

A part of each picture, pixel by pixel. Holes of the size of what one takes away: here it pays that a network
knows photographs.""",
    "box": """## Box

A hole that large has no right answer. PSNR prefers fog, which LPIPS and the eye do not: `photos` draws folds
and fog there, MI-GAN something that could be.""",
}

_READING = """Means over pictures of PSNR in the hole and of LPIPS (AlexNet; lower is better), and the median
of the time as a share of what MI-GAN takes in its own pipeline, by turns in one run, over all {pictures}.
SSIM and milliseconds: [gallery.json](../benchmarks/results/gallery.json). {machine}.
"""


def main(
    model: Annotated[str, typer.Option(help="MI-GAN, imported; the pictures stay if not given.")] = "",
    data: Annotated[Path, typer.Option(help="Folder of the sets, with their masks.")] = PHOTOS,
    pipeline: Annotated[Path, typer.Option(help="MI-GAN in its authors' packaging.")] = MIGAN_PIPELINE,
) -> None:
    if model:
        draw(model, data, pipeline)
    write_atomically(PAGE, page(json.loads(RECORD.read_text("utf-8"))).encode())
    print(f"wrote {PAGE.relative_to(ROOT)}")


def draw(model: str, data: Path, pipeline: Path) -> None:
    """A sheet of each kind: a row a picture, a column a method."""
    names = [contender(model, "cpu") if name == "migan-cpu" else name for name in _DRAWN]
    found = fillers(["photos", model, "smooth"], ["cpu"], pipeline)
    field = [found[name]() for name in names]
    labels = ["masked", *(name.removesuffix("-cpu") for name in _DRAWN), "original"]
    for kind, pictures in SHOWN.items():
        views: list[Image.Image] = []
        for name in pictures:
            sample = _sample(data, kind, name)
            picture, hole = sample.read()
            original = Image.fromarray(picture)
            completed = [Image.fromarray(fill(painted(picture, hole, paint), hole)) for fill, paint in field]
            whole = [masked_view(original, ~hole), *completed, original]
            views += [view.crop(_densest(hole)) for view in whole] if kind in CUT else whole
        rows = len(views) // len(labels)
        page = sheet(views, labels * rows, columns=len(labels), cell=CELL)
        page.save(ROOT / _image(kind), quality=85)
        print(f"wrote {_image(kind)}")


def _densest(hole: np.ndarray) -> tuple[int, int, int, int]:
    """The square of CELL pixels that has most of ``hole``, as Pillow wants it."""
    sums = np.pad(hole.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = sums[CELL:, CELL:] - sums[:-CELL, CELL:] - sums[CELL:, :-CELL] + sums[:-CELL, :-CELL]
    top, left = (int(place) for place in np.unravel_index(counts.argmax(), counts.shape))
    return left, top, left + CELL, top + CELL


def _sample(data: Path, kind: str, name: str) -> Sample:
    (picture,) = (data / "kodak").glob(f"*{name}.*")
    return Sample(picture, data / "masks" / "kodak" / kind / f"{picture.stem}.png")


def page(record: dict[str, Any]) -> str:
    """The whole page as Markdown, by what was recorded."""
    parts = [_INTRODUCTION]
    for kind, words in _KINDS.items():
        shown = ", ".join(SHOWN[kind])
        parts.append(f"{words}\n\n![Kodak pictures {shown}](images/{Path(_image(kind)).name})\n")
        parts.append(_table(record["figures"]["races"], kind))
    parts.append(_reading(record))
    return "\n".join(parts)


def _table(races: dict[str, Any], kind: str) -> str:
    lines = [f"| {kind} | PSNR | LPIPS | time |", "| --- | --- | --- | --- |"]
    for name, row in races[f"kodak/{kind}"]["contenders"].items():
        lines.append(
            f"| {LABELS[name]} | {row['psnr']:.2f} | {row['lpips']:.4f} | {row['times_pipeline']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _reading(record: dict[str, Any]) -> str:
    own, pictures = record["environment"], record["figures"]["races"]["kodak/box"]["pictures"]
    packages = ", ".join(f"{name} {own['packages'][name]}" for name in ("onnxruntime", "openvino"))
    machine = f"{own['cores']} cores of an {own['processor']}, {packages}, commit {own['commit']}"
    return _READING.format(pictures=pictures, machine=machine)


def _image(kind: str) -> str:
    return f"docs/images/gallery-{kind}.jpg"


if __name__ == "__main__":
    typer.run(main)
