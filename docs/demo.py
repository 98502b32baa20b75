"""Completes photographs and a batch of faces with the bundled models; `make demo` runs it.

Everything it writes lies in out/demo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import edgefill
from edgefill.completion import Request
from edgefill.pictures.images import find_pictures
from edgefill.pictures.sheets import save_image, sheet, strip

OUT = Path("out/demo")
FACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "faces64" / "test"
# x, y, width, height: the astronaut's face, cut as the model's training pictures are.
FACE = (175, 85, 98, 76)
_SHOWN = 24


def main() -> None:
    with edgefill.load("photos") as completer:
        print(f"{completer.model.name} on {completer.backend.info}")
        scratched(completer, OUT / "scratched.png")
    with edgefill.load("faces64") as completer:
        print(f"{completer.model.name} on {completer.backend.info}")
        photograph(completer, OUT / "photograph.png")
        faces(completer)
    with edgefill.load("faces64-glcic") as completer:
        print(f"{completer.model.name} on {completer.backend.info}")
        photograph(completer, OUT / "one-pass.png")


def photograph(completer: edgefill.Completer, path: Path) -> None:
    """Eileen Collins (a NASA portrait, public domain): the middle of her face is filled, in colour."""
    result = completer.complete(data.astronaut(), mask="center", seed=2, box=FACE)
    views = [result.photograph.picture.to_pil(), result.masked, result.image]
    heads = [view.crop((136, 24, 306, 194)).resize((340, 340), Image.Resampling.BICUBIC) for view in views]
    save(strip(heads), path)
    search = f", {result.steps} steps, loss {result.loss:.1f}" if result.steps else ""
    print(f"  {result.seconds:.3f} s{search}")


def scratched(completer: edgefill.Completer, path: Path) -> None:
    """A cup of coffee (Rachel Michetti, CC0) with holes of some kinds: as seen, as completed, as it was."""
    picture = data.coffee()
    hole = Image.new("L", (picture.shape[1], picture.shape[0]))
    draw = ImageDraw.Draw(hole)
    draw.line([(20, 40), (180, 90), (330, 30), (580, 120)], fill=255, width=5, joint="curve")
    draw.line([(60, 380), (200, 300), (350, 340)], fill=255, width=12, joint="curve")
    for x, y in ((150, 180), (420, 110), (520, 300)):
        draw.ellipse((x - 28, y - 22, x + 28, y + 22), fill=255)
    opaque = 255 - np.asarray(hole)
    result = completer.complete(np.dstack([picture, opaque]), mask="alpha")
    views = [result.masked.convert("RGB"), result.image.convert("RGB"), Image.fromarray(picture)]
    save(strip(views), path)
    print(f"  {result.seconds:.3f} s")


def faces(completer: edgefill.Completer) -> None:
    """A batch of faces: held-out ones where they are on this machine, else small ones out of scikit-image."""
    sources = find_pictures([FACES])[:_SHOWN] if FACES.is_dir() else small_faces()
    results = list(completer.complete_many(sources, Request(mask="center", seed=0)))
    rows = [
        strip([result.photograph.picture.to_pil(), result.masked, result.image], gap=2) for result in results
    ]
    save(sheet(rows, cell=None), OUT / "faces.png")
    print(f"  {len(results)} faces, {sum(result.seconds for result in results) / len(results):.2f} s each")


def small_faces() -> list[np.ndarray]:
    """The 25×25 faces of scikit-image, cut as closely as the model's training pictures, and enlarged."""
    pictures = (data.lfw_subset()[:_SHOWN] * 255).astype(np.uint8)
    close = (4.0, 4.5, 21.0, 21.5)  # left, top, right, bottom
    enlarged = (
        Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC, box=close) for picture in pictures
    )
    return [np.asarray(picture) for picture in enlarged]


def save(image: Image.Image, path: Path) -> None:
    save_image(image, path)
    print(f"  wrote {path}")


if __name__ == "__main__":
    main()
