"""Milliseconds to a given quality: the default here against the reference preset in torch eager.

    python -m benchmarks.time_to_quality [--model faces64] [--folder PICTURES] [--pictures 200]
        [--mask center] [--no-reference] [--name NAME] [--chart CHART.png] [--sheet SHEET.png]

The contenders take turns on each batch of pictures, with the same weights, masks and seeds. The quality is
the mean PSNR inside the hole of the best iterate so far, before blending; the time is that of everything from
what is known of the pictures to G(z): encoder, steps and G.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from benchmarks.metrics import psnr, seam_error, ssim
from benchmarks.networks import networks_of
from benchmarks.pictures import held_out
from benchmarks.record import record
from edgefill.export.objective import Completion
from edgefill.holes.scaling import scale
from edgefill.jobs.photograph import Photograph, prepare
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.settings import PRESETS, SearchSettings, default_settings
from edgefill.methods.latent.start import begin
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import find_pictures, read_picture, to_unit
from edgefill.pictures.masks import MaskSpec, parse_mask
from edgefill.pictures.sheets import masked_view, save_image, sheet
from edgefill.runtimes import Runtime, RuntimeInfo, open_backend
from edgefill.runtimes.host import HostRuntime

_LOOKS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000)  # steps
_EAGER, _HERE, _DEFAULT = "reference preset, torch eager", "reference preset, edgefill", "default, edgefill"
_ALONE = "default of z alone, edgefill"
_RANDOM = "default without an encoder, edgefill"
_OBJECTIVE = "reference objective from the encoder, 100 steps, edgefill"
_SHOWN = 12  # pictures on a sheet


class TorchRuntime(HostRuntime):
    """The step in torch eager: what the same search costs without the exported graph."""

    info = RuntimeInfo("torch", f"torch {torch.__version__}", "CPU")

    def __init__(self, networks: Completion) -> None:
        self._networks = networks

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feeds.items()}
        if graph == "generator":
            with torch.no_grad():
                return {"generated": self._networks.generate(given["z"]).numpy()}
        latent = given.pop("z").requires_grad_(True)
        without_d = {"lam": torch.zeros(len(latent))}
        loss, parts = self._networks.objective(latent, **{**without_d, **given})
        (gradient,) = torch.autograd.grad(loss.sum(), latent)
        found = {"loss": loss, "grad_z": gradient, **parts}
        return {name: value.detach().numpy() for name, value in found.items()}


@dataclass
class Contender:
    """A runtime with settings, and what was measured of it: rows are looks, columns are pictures."""

    runtime: Runtime
    settings: SearchSettings
    seconds: list[list[float]] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    psnr: list[list[float]] = field(default_factory=list)
    ssim: list[list[float]] = field(default_factory=list)
    seam: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    finished: list[Any] = field(default_factory=list)  # pictures for the sheet

    @property
    def looks(self) -> list[int]:
        return [look for look in _LOOKS if look < self.settings.steps] + [self.settings.steps]


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    folder: Annotated[
        Path | None, typer.Option(help="Pictures; held-out ones of the model if not given.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="How many, first by name.")] = 48,
    batch: Annotated[int, typer.Option(help="Pictures that run together.")] = 16,
    mask: Annotated[
        str, typer.Option(help="As for edgefill complete, or file, which paints one; several with commas.")
    ] = "center",
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
    chart: Annotated[Path | None, typer.Option(help="Draw PSNR over milliseconds.")] = None,
    sheet_path: Annotated[Path | None, typer.Option("--sheet", help="Pictures of all contenders.")] = None,
    reference: Annotated[
        bool, typer.Option(help="Race the reference preset, and starts without the encoder.")
    ] = True,
    eager: Annotated[bool, typer.Option(help="Race torch eager too, for the first mask.")] = True,
) -> None:
    bundle = Bundle.open(find(model))
    folder = folder or held_out(model)
    paths = find_pictures([folder])[:pictures]
    if not paths:
        raise SystemExit(f"no pictures in {folder}; name a folder with --folder")
    masks = {}
    with tempfile.TemporaryDirectory() as place:
        painted = _paint_mask(Path(place), bundle.manifest)
        for kind in mask.split(","):
            spec = painted if kind == "file" else parse_mask(kind)
            first = reference and not masks
            contenders = _contenders(bundle, reference, eager=eager and first, all_of_them=first)
            for start in range(0, len(paths), batch):
                for contender in contenders.values():
                    _run(contender, paths[start : start + batch], spec, bundle.manifest)
                print(f"{kind}: {min(start + batch, len(paths))} of {len(paths)} pictures", flush=True)
            masks[kind] = {label: _figures(contender) for label, contender in contenders.items()}
            _compare(masks[kind])
            _print_table(kind, masks[kind])
            if sheet_path:
                to = sheet_path.with_stem(f"{sheet_path.stem}-{kind}")
                _save_sheet(contenders, paths, spec, bundle.manifest, to)
    if chart:
        _draw(masks[mask.split(",")[0]], chart)
    figures = {
        "model": bundle.manifest.name, "pictures": len(paths), "batch": batch, "masks": masks
    }  # fmt: skip
    if name:
        print(f"recorded in {record(name, figures)}")


def _contenders(
    bundle: Bundle, with_reference: bool, *, eager: bool, all_of_them: bool
) -> dict[str, Contender]:
    here, reference = open_backend("cpu", bundle), PRESETS["reference"]
    encoder = bundle.manifest.has_encoder
    contenders = {_EAGER: Contender(TorchRuntime(networks_of(bundle)), reference)} if eager else {}
    if with_reference:
        contenders[_HERE] = Contender(here, reference)
    default = default_settings(encoder=encoder)
    contenders[_ALONE] = Contender(here, replace(default, features=False))
    contenders[_DEFAULT] = Contender(here, default)
    if all_of_them and encoder:
        contenders[_RANDOM] = Contender(here, default_settings(encoder=False))
        contenders[_OBJECTIVE] = Contender(
            here, replace(reference, start="encoder", solver="lbfgs", steps=100, lr=0.05)
        )
    return contenders


def _paint_mask(folder: Path, model: Manifest) -> MaskSpec:
    """A mask in a file: a stroke with a bend and two spots, a fifth of the picture."""
    width, height = model.width, model.height
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    bend = [(0.15 * width, 0.25 * height), (0.6 * width, 0.45 * height), (0.35 * width, 0.85 * height)]
    draw.line(bend, fill=255, width=width // 7, joint="curve")
    draw.ellipse((0.7 * width, 0.15 * height, 0.85 * width, 0.3 * height), fill=255)
    draw.ellipse((0.65 * width, 0.7 * height, 0.9 * width, 0.85 * height), fill=255)
    image.save(folder / "mask.png")
    return parse_mask(str(folder / "mask.png"))


def _run(contender: Contender, paths: list[Path], spec: MaskSpec, model: Manifest) -> None:
    """Searches for one batch and appends one column per picture to what was measured."""
    settings, runtime = contender.settings, contender.runtime
    photographs = [prepare(read_picture(path), spec, model, seed=number) for number, path in enumerate(paths)]
    evidence = Evidence.stacked([photograph.evidence for photograph in photographs])
    started = time.perf_counter()
    state = begin(evidence, settings, range(len(paths)), model, runtime)
    spent = time.perf_counter() - started
    for number, look in enumerate(contender.looks):
        started = time.perf_counter()
        if look > state.step:
            runtime.solve(state, look - state.step)
        spent += time.perf_counter() - started
        started = time.perf_counter()
        drawn = generate(runtime, state.best_z)
        drawing = time.perf_counter() - started
        for table in (contender.seconds, contender.loss, contender.psnr, contender.ssim):
            if len(table) <= number:
                table.append([])
        contender.seconds[number] += [(spent + drawing) / len(paths)] * len(paths)
        contender.loss[number] += map(float, state.best_loss)
        for photograph, picture in zip(photographs, drawn, strict=True):
            triple = (*_sides(photograph, picture), ~photograph.known)
            contender.psnr[number].append(psnr(*triple))
            contender.ssim[number].append(ssim(*triple))
    contender.steps += map(float, state.steps)
    for photograph, picture in zip(photographs, drawn, strict=True):
        finished = photograph.finished(picture)
        contender.seam.append(
            seam_error(to_unit(finished.values), to_unit(photograph.picture.values), ~photograph.known)
        )
        if len(contender.finished) < _SHOWN:
            contender.finished.append(finished.to_pil())


def _sides(photograph: Photograph, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and what was drawn, at the picture's size, [H, W, C] in [-1, 1]."""
    original = to_unit(photograph.region)
    return original, scale(drawn.transpose(1, 2, 0), original.shape[:2])


def _figures(contender: Contender) -> dict[str, Any]:
    def number(value: Any, digits: int) -> float | None:
        return round(float(value), digits) if np.isfinite(value) else None

    def means(rows: list[list[float]], digits: int) -> list[float | None]:
        return [number(np.mean(row), digits) for row in rows]

    seams = [error for error in contender.seam if np.isfinite(error)]  # not where all pixels are new

    return {
        "steps": contender.looks,
        "steps_taken": round(float(np.mean(contender.steps)), 1),
        "ms_per_picture": means([[1e3 * each for each in row] for row in contender.seconds], 3),
        "objective": means(contender.loss, 2),
        "psnr_in_hole": means(contender.psnr, 3),
        "ssim_in_hole": means(contender.ssim, 4),
        "seam_error": number(np.mean(seams), 4) if seams else None,
    }


def _compare(contenders: dict[str, Any]) -> None:
    """When each contender first has the quality at which the first one ends, and how much sooner."""
    reference = next(iter(contenders.values()))
    goal, whole = reference["psnr_in_hole"][-1], reference["ms_per_picture"][-1]
    for figures in contenders.values():
        reached = next(
            (
                spent
                for spent, value in zip(figures["ms_per_picture"], figures["psnr_in_hole"], strict=True)
                if value >= goal
            ),
            None,
        )
        figures["to_reference_quality"] = {
            "psnr": goal,
            "ms": reached,
            "times_sooner": reached and round(whole / reached, 1),
            "whole_run_times_sooner": round(whole / figures["ms_per_picture"][-1], 1),
        }


def _print_table(kind: str, contenders: dict[str, Any]) -> None:
    table = Table(
        kind, "steps", "ms a picture", "objective", "PSNR dB", "SSIM", "seam", "at the start: ms, PSNR",
        "to the first's PSNR: ms", "times sooner",
    )  # fmt: skip
    for label, row in contenders.items():
        columns = ("ms_per_picture", "objective", "psnr_in_hole", "ssim_in_hole")
        goal = row["to_reference_quality"]
        table.add_row(
            label,
            str(row["steps_taken"]),
            *(str(row[column][-1]) for column in columns),
            str(row["seam_error"]),
            f"{row['ms_per_picture'][0]}, {row['psnr_in_hole'][0]}",
            str(goal["ms"]),
            str(goal["times_sooner"]),
        )
    Console(width=200).print(table)


def _save_sheet(
    contenders: dict[str, Contender], paths: list[Path], spec: MaskSpec, model: Manifest, path: Path
) -> None:
    """A row for each of the first pictures: it, its hole, and what each contender made of it."""
    views = []
    for number, source in enumerate(paths[:_SHOWN]):
        photograph = prepare(read_picture(source), spec, model, seed=number)
        image = photograph.picture.to_pil()
        views += [image, masked_view(image, photograph.known)]
        views += [contender.finished[number] for contender in contenders.values()]
    save_image(sheet(views, columns=2 + len(contenders)), path)


def _draw(contenders: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.subplots()
    for label, row in contenders.items():
        if label != _OBJECTIVE:
            axes.plot(row["ms_per_picture"], row["psnr_in_hole"], marker="o", markersize=3, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a picture, two CPU cores")
    axes.set_ylabel("PSNR in the hole, dB")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    typer.run(main)
