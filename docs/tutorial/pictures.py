"""Pictures as samples: distributions they could come from, and how a normal one completes them.

The pictures are what G of the bundled faces64 draws of random z.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import IMAGES, KNOWN, gallery, panels, save
from matplotlib.figure import Figure
from normal import Normal

import edgefill
from edgefill.methods.latent.drawing import drawn
from edgefill.methods.latent.latents import Prior

NOISE = 0.05  # of each pixel by itself, in [-1, 1]
UNSEEN = 1_000_000  # the seed of the first picture that nothing was fitted to
PAIRS = {
    "neighbours": ((20, 20), (20, 21)),
    "mirrored": ((26, 16), (26, 47)),
    "far apart": ((20, 20), (60, 5)),
}  # row and column of two pixels of 64×64


def samples(completer: edgefill.Completer, count: int, first: int = 0) -> np.ndarray:
    """G(z) of the seeds from ``first`` on, [count, H, W] in [-1, 1]."""
    z = Prior.of(completer.model).latents(range(first, first + count))
    return drawn(z, completer.model, completer.backend)[:, 0]


def reduced(pictures: np.ndarray, size: int) -> np.ndarray:
    """``pictures [N, S, S]`` at ``size``, a divisor of S."""
    share = pictures.shape[1] // size
    return pictures.reshape(len(pictures), size, share, size, share).mean((2, 4))


def normal_of(pictures: np.ndarray) -> Normal:
    """The normal distribution of all pixels of ``pictures [N, H, W]``."""
    return Normal.of(pictures.reshape(len(pictures), -1), NOISE)


def completed(pictures: np.ndarray, known: np.ndarray, normal: Normal) -> np.ndarray:
    """``pictures [N, H, W]`` with the means of what is not ``known [H, W]``, given what is."""
    filled = pictures.copy()
    filled[:, ~known] = normal.given(known.ravel(), pictures[:, known]).mean
    return filled


def main(out: Path = IMAGES, count: int = 4000, size: int = 64) -> None:
    with edgefill.load("faces64", "cpu") as completer:
        save(sheet(samples(completer, 24)), out / "samples.png")
        whole = samples(completer, count)
        unseen = reduced(samples(completer, 6, UNSEEN), size)
    save(pairs(whole), out / "pixels.png")
    faces = reduced(whole, size)
    normal = normal_of(faces)
    save(ladder(faces, normal), out / "distributions.png")
    known = np.ones((size, size), bool)
    known[size // 4 : -size // 4, size // 4 : -size // 4] = False
    rows = [np.where(known, unseen, 0), completed(unseen, known, normal), unseen]
    figure = gallery(
        np.stack(rows, 1), ["its middle hidden", "the mean, given the rest", "as it was"], across=True
    )
    save(figure, out / "normal-completion.png")


def pairs(faces: np.ndarray) -> Figure:
    """What two pixels of a picture have to do with each other: a point for each picture."""
    figure, every = panels(len(PAIRS), side=2.5)
    for axes, (name, ((a, b), (c, d))) in zip(every, PAIRS.items(), strict=True):
        x, y = faces[:1500, a, b], faces[:1500, c, d]
        axes.scatter(x, y, s=3, color=KNOWN, alpha=0.4, linewidths=0)
        axes.set_title(f"{name}: correlation {np.corrcoef(x, y)[0, 1]:.2f}", fontsize=9)
        axes.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
    every[0].set(xlabel="one pixel", ylabel="another")
    return figure


def ladder(faces: np.ndarray, normal: Normal, count: int = 6) -> Figure:
    """Samples of four distributions, a row each."""
    rng, size = np.random.default_rng(0), faces.shape[1]
    noise = rng.uniform(-1, 1, (count, size, size))
    which = rng.integers(len(faces), size=(count, size, size))  # each pixel of another picture
    rows, columns = np.indices((size, size))
    alone = faces[which, rows, columns]
    together = normal.draw(count, rng).reshape(noise.shape)
    titles = ["any numbers", "each pixel by itself", "all pixels, normal", "G"]
    return gallery(np.stack([noise, alone, together, faces[:count]], 1), titles, across=True)


def sheet(faces: np.ndarray) -> Figure:
    """What G draws."""
    return gallery(faces.reshape(-1, 8, *faces.shape[1:]))


if __name__ == "__main__":
    main()
