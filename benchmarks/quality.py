"""Steps and seconds to a given quality: the presets here against the reference preset in torch eager.

    python -m benchmarks.quality [--model faces64] [--folder PICTURES] [--pictures 48]

The contenders take turns on each batch of pictures, with the same weights, masks and first z. The quality is
the mean PSNR inside a centre hole, of the best iterate so far.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.networks import networks_of
from benchmarks.record import record
from edgefill.bundle import Bundle
from edgefill.completion.backends import Backend, BackendInfo, open_backend
from edgefill.completion.backends.host import HostBackend
from edgefill.completion.latents import Prior
from edgefill.completion.photograph import prepare
from edgefill.completion.search import Evaluation, SearchState, Task
from edgefill.completion.settings import PRESETS, SearchSettings
from edgefill.export.objective import Completion
from edgefill.images import find_pictures, read_picture, to_unit
from edgefill.masks import parse_mask
from edgefill.metrics import psnr, ssim
from edgefill.models import find

FACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "faces64" / "test"
_GOALS = (19.0, 19.5, 20.0)  # dB inside the hole.
_LOOKS = (
    5,
    10,
    20,
    30,
    50,
    75,
    100,
    150,
    200,
    300,
    500,
    750,
    1000,
)  # Steps after which the quality is taken.


class TorchBackend(HostBackend):
    """The step in torch eager: what the same search costs without the exported graph."""

    info = BackendInfo("torch", f"torch {torch.__version__}", "CPU")

    def __init__(self, networks: Completion) -> None:
        self._networks = networks

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        latent = torch.from_numpy(z).requires_grad_(True)
        inputs = {
            name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in task._asdict().items()
        }
        loss, parts = self._networks.objective(latent, **inputs)
        (gradient,) = torch.autograd.grad(loss.sum(), latent)
        values = (loss, gradient, parts["contextual"], parts["perceptual"])
        return Evaluation(*(value.detach().numpy() for value in values))

    def generate(self, z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pictures: np.ndarray = self._networks.generate(torch.from_numpy(z)).numpy()
        return pictures


@dataclass
class Contender:
    """A backend with settings, and what was measured of it: rows are looks, columns are pictures."""

    backend: Backend
    settings: SearchSettings
    seconds: list[list[float]] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    psnr: list[list[float]] = field(default_factory=list)
    ssim: list[list[float]] = field(default_factory=list)

    @property
    def looks(self) -> list[int]:
        return [look for look in _LOOKS if look < self.settings.steps] + [self.settings.steps]


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    folder: Annotated[Path, typer.Option(help="Pictures of the model's size.")] = FACES,
    pictures: Annotated[int, typer.Option(help="How many, first by name.")] = 48,
    batch: Annotated[int, typer.Option(help="Pictures that run together.")] = 16,
    mask: Annotated[str, typer.Option(help="As for edgefill complete.")] = "center",
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    bundle = Bundle.open(find(model))
    here = open_backend("cpu", bundle)
    contenders = {
        "reference preset, torch eager": Contender(TorchBackend(networks_of(bundle)), PRESETS["reference"]),
        "reference preset, edgefill": Contender(here, PRESETS["reference"]),
        "default preset, edgefill": Contender(here, PRESETS["default"]),
    }
    paths = find_pictures([folder])[:pictures]
    if not paths:
        raise SystemExit(f"no pictures in {folder}; name a folder with --folder")
    for start in range(0, len(paths), batch):
        for contender in contenders.values():
            _run(contender, paths[start : start + batch], mask, bundle)
        print(f"{min(start + batch, len(paths))} of {len(paths)} pictures", flush=True)
    figures = {
        "model": bundle.manifest.name,
        "pictures": len(paths),
        "mask": mask,
        "batch": batch,
        "contenders": {label: _figures(contender) for label, contender in contenders.items()},
    }
    _add_goals(figures["contenders"])
    _print_table(figures["contenders"])
    if name:
        print(f"recorded in {record(name, figures)}")


def _run(contender: Contender, paths: list[Path], mask: str, bundle: Bundle) -> None:
    """Searches for one batch and appends one column per picture to what was measured."""
    spec, manifest, settings = parse_mask(mask), bundle.manifest, contender.settings
    photographs = [prepare(read_picture(path), spec, manifest, seed=0) for path in paths]
    tasks = [photo.task(settings.importance) for photo in photographs]
    arrays = [np.stack(parts) for parts in zip(*tasks, strict=True)]
    anchor = np.zeros((len(paths), manifest.z_dim), np.float32)
    task = Task.of(*arrays, settings, anchor)
    state = SearchState.start(task, settings, [0] * len(paths), Prior.of(manifest))
    rows: list[tuple[float, list[float], list[float], list[float]]] = []
    spent = 0.0
    for look in contender.looks:
        begin = time.perf_counter()
        contender.backend.solve(state, look - state.step)
        spent += time.perf_counter() - begin
        pictures = contender.backend.generate(state.best_z)
        originals = [to_unit(photo.region) for photo in photographs]
        holes = [~photo.known for photo in photographs]
        triples = list(zip(originals, pictures.transpose(0, 2, 3, 1), holes, strict=True))
        rows.append(
            (
                spent,
                list(map(float, state.best_loss)),
                [psnr(*t) for t in triples],
                [ssim(*t) for t in triples],
            )
        )
    for look, (seconds, loss, decibels, similarity) in enumerate(rows):
        for table, values in (
            (contender.seconds, [seconds / len(paths)] * len(paths)), (contender.loss, loss),
            (contender.psnr, decibels), (contender.ssim, similarity),
        ):  # fmt: skip
            if len(table) <= look:
                table.append([])
            table[look] += values


def _figures(contender: Contender) -> dict[str, Any]:
    def means(rows: list[list[float]], digits: int) -> list[float]:
        return [round(float(np.mean(row)), digits) for row in rows]

    return {
        "steps": contender.looks,
        "seconds_per_picture": means(contender.seconds, 4),
        "objective": means(contender.loss, 2),
        "psnr_in_hole": means(contender.psnr, 3),
        "ssim_in_hole": means(contender.ssim, 4),
    }


def _add_goals(contenders: dict[str, Any]) -> None:
    """Steps and seconds after which each contender first has each of the goals, and how much sooner."""
    reference = next(iter(contenders.values()))
    for figures in contenders.values():
        figures["goals"] = {}
        for goal in _GOALS:
            steps, seconds = _reached(figures, goal)
            _, reference_seconds = _reached(reference, goal)
            ratio = reference_seconds / seconds if seconds and reference_seconds else None
            figures["goals"][f"{goal} dB"] = {
                "steps": steps, "seconds": seconds, "times_sooner": ratio and round(ratio, 1)
            }  # fmt: skip


def _reached(figures: dict[str, Any], goal: float) -> tuple[int | None, float | None]:
    for steps, seconds, value in zip(
        figures["steps"], figures["seconds_per_picture"], figures["psnr_in_hole"], strict=True
    ):
        if value >= goal:
            return steps, seconds
    return None, None


def _print_table(contenders: dict[str, Any]) -> None:
    ends = Table("contender", "steps", "s a picture", "objective", "PSNR dB", "SSIM")
    goals = Table("contender", *(f"to {goal} dB: steps, s, times sooner" for goal in _GOALS))
    for label, row in contenders.items():
        columns = ("steps", "seconds_per_picture", "objective", "psnr_in_hole", "ssim_in_hole")
        ends.add_row(label, *(str(row[column][-1]) for column in columns))
        goals.add_row(label, *(", ".join(map(str, goal.values())) for goal in row["goals"].values()))
    Console().print(ends, goals)


if __name__ == "__main__":
    typer.run(main)
