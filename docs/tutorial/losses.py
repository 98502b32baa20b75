"""The two losses of a search for one picture: what they weigh, how they fall, and what each draws alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from figures import GIVEN, HIDDEN, IMAGES, KNOWN, gallery, panels, save, show
from matplotlib.figure import Figure
from pictures import UNSEEN, samples

import edgefill
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.search import Task
from edgefill.pictures.evidence import Evidence
from edgefill.runtimes import Runtime

WINDOW = 15  # pixels: how near the hole a known pixel counts
NAMES = {"contextual alone": KNOWN, "both": GIVEN, "perceptual alone": HIDDEN}
LAM = 1.0  # weight of the perceptual loss
FACE, START = UNSEEN + 7, 7  # the seeds of the picture and of the first z

Found = Mapping[str, np.ndarray]


def descend(runtime: Runtime, z: np.ndarray, task: Task, steps: int, length: float = 0.5) -> list[Found]:
    """What the step graph says at each z of a walk down its gradient, in ever shorter steps."""
    way = []
    for step in range(steps):
        found = runtime.run("step", {"z": z, **task._asdict()})
        way.append(found)
        gradient = found["grad_z"] / np.linalg.norm(found["grad_z"], axis=1, keepdims=True)
        z = np.clip(z - length * (1 - step / steps) * gradient, -1, 1)
    return way


def task_of(face: np.ndarray, known: np.ndarray, z: np.ndarray) -> Task:
    """Three rows for one picture [H, W]: one loss alone, both, and the other alone."""
    height, width = face.shape
    nothing = np.zeros((1, 1, height // 8, width // 8), np.float32)  # no means of blocks are known
    evidence = Evidence(face[None, None], known[None, None].astype(np.float32), nothing).weighed(WINDOW)
    evidence = Evidence.stacked([evidence, evidence, evidence._replace(weight=0 * evidence.weight)])
    lam, power, pull = np.float32([0, LAM, 1]), np.ones(3, np.float32), np.zeros(3, np.float32)
    return Task(*evidence, power, lam, anchor=z, pull=pull)


def main(out: Path = IMAGES, steps: int = 300) -> None:
    with edgefill.load("faces64", "cpu") as completer:
        face = samples(completer, 1, FACE)[0]
        known = np.ones(face.shape, bool)
        known[16:48, 16:48] = False
        z = np.repeat(Prior.of(completer.model).latents([START]), 3, axis=0)
        task = task_of(face, known, z)
        way = descend(completer.backend, z, task, steps)
    seen = np.where(known, face, 0)
    save(weights(seen, task.weight[0, 0]), out / "weights.png")
    save(curves(way), out / "losses.png")
    first, last = way[0]["generated"][0, 0], way[-1]["generated"][:, 0]
    save(
        gallery([[seen, first, *last, face]], ["the hole", "the first G(z)", *NAMES, "as it was"]),
        out / "alone.png",
    )


def weights(seen: np.ndarray, weight: np.ndarray) -> Figure:
    """What is known, and how much each pixel of it counts."""
    figure, (left, right) = panels(2, side=2.6)
    show(left, seen)
    left.set_title("what is known", fontsize=9)
    shown = right.imshow(weight, cmap="viridis", vmin=0)
    right.set_title("how much it counts", fontsize=9)
    right.set_axis_off()
    figure.colorbar(shown, ax=right, shrink=0.8)
    return figure


def curves(way: list[Found]) -> Figure:
    """Both losses over the steps of each search."""
    figure, every = panels(2, side=3.2)
    for axes, loss in zip(every, ("contextual", "perceptual"), strict=True):
        values = np.stack([found[loss] for found in way], 1)
        for row, (name, colour) in enumerate(NAMES.items()):
            if name != "perceptual alone" or loss == "perceptual":
                axes.plot(values[row], color=colour, label=name)
        axes.set(title=f"{loss} loss", xlabel="step", ylim=(0, None))
        axes.grid(alpha=0.3)
    every[1].legend(fontsize=8, loc="center right")
    return figure


if __name__ == "__main__":
    main()
