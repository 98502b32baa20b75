"""What larger pictures cost a search, and what they give: DCGANs of several sizes on the same photographs.

    python -m benchmarks.sizes [--model hands64 --model runs/hands128.edgefill] [--folder PICTURES]
        [--pictures 200] [--mask center,left] [--networks 64:32,128:16,256:8] [--name NAME]
        [--sheet SHEET.png]

The models take turns on each batch of pictures, with the default search, through everything from the file to
the completed picture. Scores are taken at the pictures' own size: PSNR and SSIM inside the hole, LPIPS of the
picture. ``--networks`` are sizes with filters whose costs are counted, trained or not: multiplications,
numbers, and the time of a step of the default search, which asks no D.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.metrics import psnr, ssim
from benchmarks.networks import example_inputs
from benchmarks.pictures import held_out
from benchmarks.record import record
from benchmarks.turns import Call, cores, measured
from edgefill.completion import Completer, Failure, Request, Result, load
from edgefill.export import export_bundle
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import FIT
from edgefill.networks.alexnet import AlexNet, load_alexnet
from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Discriminator, Generator
from edgefill.pictures.images import find_pictures, to_unit
from edgefill.pictures.sheets import save_image, sheet

_FEATURES = held_out("hands64").parents[1] / "lpips" / "alex.npz"
_ROUNDS = 15
_SHOWN = 8  # pictures on a sheet
_SIDE = 128  # pixels of each there


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models that search, or smooth.")] = None,
    folder: Annotated[Path, typer.Option(help="Pictures that none of them has seen.")] = held_out("hands64"),
    pictures: Annotated[int, typer.Option(help="How many, first by name.")] = 200,
    batch: Annotated[int, typer.Option(help="Pictures that run together.")] = 16,
    mask: Annotated[str, typer.Option(help="Kinds of holes that are the same at any size.")] = "center,left",
    networks: Annotated[str, typer.Option(help="size:filters, whose costs are counted.")] = "",
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
    sheet_path: Annotated[Path | None, typer.Option("--sheet", help="Pictures of all models.")] = None,
) -> None:
    paths = find_pictures([folder])[:pictures]
    if not paths:
        raise SystemExit(f"no pictures in {folder}; name a folder with --folder")
    figures: dict[str, Any] = {"pictures": len(paths), "batch": batch, "costs": {}, "masks": {}}
    if networks:
        figures["costs"] = _costs([tuple(map(int, each.split(":"))) for each in networks.split(",")])
        _print_table("a step of the default search, one picture", figures["costs"])
    opened = [load(each) for each in model or ["hands64"]]
    completers = {completer.model.name: completer for completer in opened}
    features = load_alexnet(_FEATURES)
    for kind in mask.split(","):
        results = _raced(completers, paths, kind, batch)
        figures["masks"][kind] = {each: _scores(found, features) for each, found in results.items()}
        _print_table(kind, figures["masks"][kind])
        if sheet_path:
            save_image(_sheet(results), sheet_path.with_stem(f"{sheet_path.stem}-{kind}"))
    if name:
        print(f"recorded in {record(name, figures)}")


def _costs(shapes: list[tuple[int, ...]]) -> dict[str, dict[str, float]]:
    """Of untrained DCGANs of each size with that many filters; costs do not depend on the weights."""
    costs, steps = {}, {}
    for size, filters in shapes:
        config, label = NetworkConfig(size=size, filters=filters), f"{size}×{size}, {filters} filters"
        G, D = (network(config).eval().requires_grad_(False) for network in (Generator, Discriminator))
        costs[label] = _counted(G, config)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "network.edgefill"
            export_bundle(G, D, path, z_dim=config.z_dim)
            steps[label] = _step(Bundle.open(path))
    for label, time_of in measured(steps, _ROUNDS).items():
        costs[label] |= {"ms": time_of["ms"], "times the first": time_of["times_ours"]}
    return costs


def _counted(G: nn.Module, config: NetworkConfig) -> dict[str, float]:
    """The weights of G, and the multiplications of its products and convolutions for one z, and back."""
    z = torch.zeros(1, config.z_dim, requires_grad=True)
    with FlopCounterMode(display=False) as flops:
        G(z).sum().backward()
    return {
        "numbers in G": sum(weight.numel() for weight in G.parameters()),
        "multiplications": flops.get_total_flops() // 2,  # the others are additions
    }


def _step(bundle: Bundle) -> Call:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(bundle.graph(FIT), options, providers=["CPUExecutionProvider"])
    inputs = {name: value for name, value in example_inputs(bundle, 1).items() if name != "lam"}
    return lambda: session.run(["grad_z"], inputs)[0]


def _raced(
    completers: dict[str, Completer], paths: list[Path], mask: str, batch: int
) -> dict[str, list[tuple[Result, float]]]:
    """What each makes of all pictures, with the seconds that each took."""
    results = defaultdict(list)
    for start in range(0, len(paths), batch):
        for name, completer in completers.items():
            begin = time.perf_counter()
            outcomes = list(completer.complete_many(paths[start : start + batch], Request(mask=mask)))
            seconds = (time.perf_counter() - begin) / len(outcomes)
            for outcome in outcomes:
                if isinstance(outcome, Failure):
                    raise outcome.error
                results[name].append((outcome, seconds))
        print(f"{mask}: {min(start + batch, len(paths))} of {len(paths)} pictures", flush=True)
    return results


def _scores(results: list[tuple[Result, float]], features: AlexNet) -> dict[str, float]:
    rows = []
    for result, seconds in results:
        original, completed = (to_unit(each.values) for each in (result.photograph.picture, result.picture))
        hole = ~result.photograph.known
        seen = [features(_in_colour(each)) for each in (original, completed)]
        rows.append(
            (
                psnr(original, completed, hole),
                ssim(original, completed, hole),
                float(features.distance(*seen)),
                1e3 * seconds,
                result.steps,
            )
        )
    means = np.mean(rows, axis=0)
    return {
        key: round(float(value), 4)
        for key, value in zip(("psnr", "ssim", "lpips", "ms a picture", "steps"), means, strict=True)
    }


def _in_colour(values: np.ndarray) -> torch.Tensor:
    """``values [H, W, C]`` as one picture [1, 3, H, W]; a grey one has it thrice."""
    height, width, _ = values.shape
    return torch.from_numpy(values.transpose(2, 0, 1))[None].expand(1, 3, height, width)


def _sheet(results: dict[str, list[tuple[Result, float]]]) -> Image.Image:
    """A row for each of the first pictures: it, its hole, and what each model made of it."""
    views = []
    for row in zip(*(found[:_SHOWN] for found in results.values()), strict=True):
        first = row[0][0]
        views += [first.photograph.picture.to_pil(), first.masked, *(result.image for result, _ in row)]
    return sheet(
        [view.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS) for view in views], columns=2 + len(results)
    )


def _print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    table = Table(title, *columns)
    for label, row in rows.items():
        table.add_row(label, *(str(row[column]) for column in columns))
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
