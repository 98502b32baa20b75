"""The search as an animation; then three ways to fill the same holes, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import IMAGES, gallery, save
from matplotlib.figure import Figure
from normal import Normal
from pictures import UNSEEN, completed, normal_of, samples
from PIL import Image

import edgefill
from edgefill.files import write_atomically
from edgefill.pictures.images import from_unit, to_unit
from edgefill.pictures.sheets import gif_bytes, pictures_of, sheet

MASKS = ("center", "left", "pattern", "random:0.8")
SHOWN = 5  # pictures of the animation
STILL = 10  # frames for which its end stands
GREYS = 48  # of the animation


def main(out: Path = IMAGES, fitted: int = 4000, steps: int = 200, frames: int = 25) -> None:
    with edgefill.load("faces64", "cpu") as completer, edgefill.load("faces64-glcic", "cpu") as one_pass:
        unseen = samples(completer, SHOWN, UNSEEN)
        film = gif_bytes(animation(completer, unseen, steps, frames), fps=8)
        normal = normal_of(samples(completer, fitted))
        rows = [
            compare(completer, one_pass, normal, face, mask)
            for face, mask in zip(unseen, MASKS, strict=False)
        ]
    write_atomically(out / "search.gif", film)
    print(f"wrote search.gif, {len(film) / 1000:.0f} kB")
    save(beside(rows), out / "beside.png")


def animation(completer: edgefill.Completer, faces: np.ndarray, steps: int, frames: int) -> list[Image.Image]:
    """The searches for ``faces [N, H, W]`` from random z: completed above, the whole of G(z) below."""
    settings = edgefill.SearchSettings("adam", start="random", steps=steps, lr=0.05, lam=0.1, importance=15)
    request = edgefill.Request(mask="center", settings=settings, frames=frames)
    results = list(completer.complete_many(from_unit(faces), request))
    films = [
        [result.masked, *(result.photograph.finished(each).to_pil() for each in result.frames)]
        for result in results
    ]
    films += [pictures_of(np.stack([result.frames[0], *result.frames])) for result in results]
    pages = [sheet(pictures, gap=3, columns=len(faces)).convert("L") for pictures in zip(*films, strict=True)]
    few = [page.point([round(grey * GREYS / 255) * 255 // GREYS for grey in range(256)]) for page in pages]
    return few + few[-1:] * STILL


def compare(
    search: edgefill.Completer, one_pass: edgefill.Completer, normal: Normal, face: np.ndarray, mask: str
) -> list[np.ndarray]:
    """One picture: with its hole, as each fills that, and as it was."""
    picture = from_unit(face)
    results = [completer.complete(picture, mask=mask) for completer in (search, one_pass)]
    known = results[0].photograph.known
    means = completed(face[None], known, normal)[0]
    drawn = [to_unit(np.asarray(result.image)) for result in results]
    return [np.where(known, face, 0), means, *drawn, face]


def beside(rows: list[list[np.ndarray]]) -> Figure:
    """A row for each picture that was compared."""
    return gallery(rows, ["hole", "normal", "search", "one pass", "as it was"], side=1.3)


if __name__ == "__main__":
    main()
