"""Completion in one pass on the CPU: fp32, INT8 and PyTorch by the megapixel; size, quality and memory.

    python -m benchmarks.one_pass RUN [RUN ...] [--sizes 256,512] [--wide 256,512,1024,2048] [--rounds 11]
        [--pictures FOLDER] [--count 200] [--calibration FOLDER] [--chart FILE.png] [--name NAME]

The runs are trainings of the kind glcic. The first is timed, its contenders taking turns within one process;
all are scored in the centre hole of held-out pictures, in fp32 and INT8. The command then completes a colour
picture of 4096×4096 with the bundled model, in processes of their own, for their peak of memory.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.command import Cost
from benchmarks.metrics import psnr, ssim
from benchmarks.pictures import held_out, seen_in_training
from benchmarks.record import record
from benchmarks.turns import Call, check_agreement, cores, measured
from edgefill.completion import Completer
from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.library import open_library
from edgefill.export.engines.recipe import Recipe, input_shapes, static
from edgefill.export.modules import prepared
from edgefill.export.run import export_run
from edgefill.methods.feed_forward.network import draw
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import COMPLETION, INT8
from edgefill.pictures.images import find_pictures, read_picture, to_unit
from edgefill.runtimes import open_backend
from edgefill.training.glcic import load_completion_network

_TOLERANCE = 1e-3  # of what fp32 contenders compute, in norm
_ORIGIN = "benchmarks.one_pass"
_BUNDLED = "faces64-glcic"
_MEGABYTES = (0.1, 0.2, 0.5, 1, 2, 5, 10)  # marked in the chart
_LARGE, _LARGE_MASKS = 4096, ("center:0.45", "center", "left", "pattern", "random:0.2")


def main(
    runs: Annotated[list[Path], typer.Argument(help="Trainings of the kind glcic.")],
    sizes: Annotated[str, typer.Option(help="Sides of the pictures that PyTorch races on.")] = "256,512",
    wide: Annotated[str, typer.Option(help="Sides that race each other.")] = "256,512,1024,2048",
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 11,
    pictures: Annotated[Path | None, typer.Option(help="Held-out pictures.")] = None,
    count: Annotated[int, typer.Option(help="Of them, the first.")] = 200,
    calibration: Annotated[Path | None, typer.Option(help="Pictures that calibrate INT8.")] = None,
    chart: Annotated[Path | None, typer.Option(help="Where to draw quality against size.")] = None,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    torch.set_num_threads(cores())
    files = find_pictures([pictures or held_out("faces64")])[:count]
    with tempfile.TemporaryDirectory() as folder:
        large = _large(Path(folder))  # first: what this process holds counts in its children's peaks
        found = [_exported(run, Path(folder), calibration or seen_in_training("faces64")) for run in runs]
        engines = _engines(found[0])
    quality = [_quality(run, bundles, files) for run, bundles in zip(runs, found, strict=True)]
    _print_quality(quality)
    speed = _speed(runs[0], found[0], _numbers(sizes), rounds)
    speed["all"] = _linearity(found[0], _numbers(wide), rounds)
    _print_speed(speed)
    for mask, cost in large.items():
        print(f"4096×4096, {mask}: {cost['seconds']:.1f} s, {cost['peak_mb']:.0f} MB")
    if chart:
        _draw(quality, chart)
    if name:
        figures = {
            "speed": speed,
            "pictures": len(files),
            "quality": quality,
            "large": large,
            "engines": engines,
        }
        print(f"recorded in {record(name, figures)}")


def _exported(run: Path, folder: Path, calibration: Path) -> dict[str, Bundle]:
    """The run's model in fp32 and in INT8."""
    bundles = {}
    for precision in ("fp32", INT8):
        path = folder / f"{run.name}-{precision}.edgefill"
        pictures = calibration if precision == INT8 else None
        export_run(run, path, precision=precision, calibration=pictures, origin=_ORIGIN)
        bundles[precision] = Bundle.open(path)
    return bundles


def _quality(run: Path, bundles: dict[str, Bundle], files: list[Path]) -> dict[str, Any]:
    """Scores inside the centre hole, means over the pictures, before and after blending."""
    network, config = load_completion_network(run)
    row: dict[str, Any] = {
        "filters": config.network.filters,
        "parameters": sum(each.numel() for each in network.parameters()),
    }
    for precision, bundle in bundles.items():
        scores = []
        with Completer(bundle.manifest, open_backend("cpu", bundle)) as completer:
            for file in files:
                original = to_unit(read_picture(file).values)
                results = [completer.complete(file, "center", blend=blend) for blend in ("none", "poisson")]
                finished = [to_unit(result.picture.values) for result in results]
                hole = ~results[0].photograph.known
                scores.append([score(original, each, hole) for each in finished for score in (psnr, ssim)])
        means = np.mean(scores, axis=0)
        names = ("psnr", "ssim", "psnr_blended", "ssim_blended")
        row[precision] = {key: round(float(value), 3) for key, value in zip(names, means, strict=True)}
        row[precision]["bytes"] = len(bundle.graph(COMPLETION))
    return row


def _speed(run: Path, bundles: dict[str, Bundle], sides: list[int], rounds: int) -> dict[str, dict[str, Any]]:
    """By side of a square picture, what ``measured`` says, and milliseconds a megapixel."""
    network, _ = load_completion_network(run)
    figures = {}
    for side in sides:
        inputs = _inputs(bundles["fp32"], side)
        ours = {name: _ours(bundle, *inputs) for name, bundle in bundles.items()}
        exact = {"edgefill fp32": ours["fp32"], **_torch(network, *inputs)}
        check_agreement(exact, _TOLERANCE)
        found = measured({**exact, "edgefill INT8": ours[INT8]}, rounds)
        for row in found.values():
            row["ms_a_megapixel"] = round(row["ms"] / (side * side / 1e6), 1)
        figures[str(side)] = found
    return figures


def _linearity(bundles: dict[str, Bundle], sides: list[int], rounds: int) -> dict[str, Any]:
    """Milliseconds a megapixel of each size, by turns; ``times_ours`` is for a pixel, against the first."""
    contenders = {
        f"{side}², {name}": _ours(bundle, *_inputs(bundle, side))
        for name, bundle in bundles.items()
        for side in sides
    }
    found = measured(contenders, rounds)
    for row, side in zip(found.values(), sides * len(bundles), strict=True):
        row["ms_a_megapixel"] = round(row["ms"] / (side * side / 1e6), 1)
        row["times_ours"] = round(row["times_ours"] * (sides[0] / side) ** 2, 3)
    return found


def _inputs(bundle: Bundle, side: int) -> tuple[np.ndarray, np.ndarray]:
    picture = np.random.default_rng(0).uniform(-1, 1, (1, bundle.manifest.channels, side, side))
    known = np.ones((1, 1, side, side), np.float32)
    known[:, :, side // 4 : -side // 4, side // 4 : -side // 4] = 0
    return picture.astype(np.float32), known


def _ours(bundle: Bundle, picture: np.ndarray, known: np.ndarray) -> Call:
    runtime = open_backend("cpu", bundle)
    return lambda: draw(runtime, bundle.manifest, picture, known)


def _torch(network: nn.Module, picture: np.ndarray, known: np.ndarray) -> dict[str, Call]:
    """PyTorch as it is trained, and as it is fastest: batch norms folded, channels last."""
    inputs = torch.from_numpy(picture), torch.from_numpy(known)
    last = tuple(each.contiguous(memory_format=torch.channels_last) for each in inputs)
    folded = prepared(copy.deepcopy(network), "the network").to(memory_format=torch.channels_last)

    def call(module: Callable[..., torch.Tensor], given: tuple[torch.Tensor, ...]) -> Call:
        def run() -> np.ndarray:
            with torch.inference_mode():
                return module(*given).numpy()

        return run

    return {
        "torch eager": call(network, inputs),
        "torch eager, folded, channels last": call(folded, last),
        "torch.compile": call(torch.compile(network, dynamic=False), inputs),
        "torch.compile, folded, channels last": call(torch.compile(folded, dynamic=False), last),
    }


def _large(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds and peak of memory of the command, by mask, with a picture of 4096×4096."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).resize((_LARGE, _LARGE), Image.Resampling.BICUBIC).save(folder / "large.png")
    costs = {}
    for mask in _LARGE_MASKS:
        given = (
            "--model",
            _BUNDLED,
            "--mask",
            mask,
            "--backend",
            "cpu",
            "--out",
            folder / mask.replace(":", "-"),
        )
        costs[mask] = asdict(Cost.of("complete", folder / "large.png", *given))
    return costs


def _engines(bundles: dict[str, Bundle]) -> dict[str, Any]:
    """What TensorRT for RTX makes of each precision, where it is installed."""
    if find_spec("tensorrt_rtx") is None:
        return {}
    figures: dict[str, Any] = {"library": open_library("rtx").title}
    for precision, bundle in bundles.items():
        shapes = input_shapes(bundle.manifest, COMPLETION, static(1))
        recipe = Recipe(COMPLETION, precision, "rtx", static(1))
        plan = build_plan(bundle.graph(COMPLETION), recipe, shapes=shapes)
        figures[precision] = {
            "build_seconds": round(plan.seconds, 3),
            "plan_bytes": len(plan.content),
            "complaints": list(plan.complaints),
        }
        print(f"TensorRT for RTX, {precision}: {len(plan.content) / 1e6:.1f} MB in {plan.seconds:.2f} s")
    return figures


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _print_quality(quality: list[dict[str, Any]]) -> None:
    table = Table("filters", "parameters", "", "MB", "PSNR (blended)", "SSIM (blended)")
    for row in quality:
        for precision in ("fp32", INT8):
            own = row[precision]
            table.add_row(
                str(row["filters"]), f"{row['parameters']:,}", precision, f"{own['bytes'] / 1e6:.2f}",
                f"{own['psnr']:.2f} ({own['psnr_blended']:.2f})",
                f"{own['ssim']:.3f} ({own['ssim_blended']:.3f})",
            )  # fmt: skip
    Console().print(table)


def _print_speed(speed: dict[str, dict[str, Any]]) -> None:
    for side, found in speed.items():
        table = Table(
            "contender", "ms (median)", "fastest turn", "ms a megapixel", "times ours", title=f"side {side}"
        )
        for name, row in found.items():
            table.add_row(
                name, f"{row['ms']:.2f}", f"{row['ms_min']:.2f}", f"{row['ms_a_megapixel']:.0f}",
                f"{row['times_ours']:.2f}",
            )  # fmt: skip
        Console().print(table)


def _draw(quality: list[dict[str, Any]], path: Path) -> None:
    """PSNR against the size of the file, a line for each precision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for precision, label in (("fp32", "fp32"), (INT8, "INT8")):
        rows = sorted(quality, key=lambda row: row["filters"])
        sizes = [row[precision]["bytes"] / 1e6 for row in rows]
        axes.plot(sizes, [row[precision]["psnr"] for row in rows], marker="o", label=label)
        for row, size in zip(rows, sizes, strict=True):
            axes.annotate(f"{row['filters']}", (size, row[precision]["psnr"]), xytext=(5, -11),
                          textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set(xscale="log", xlabel="size of the network's file, MB", ylabel="PSNR in the centre hole, dB")
    axes.set_xticks(_MEGABYTES, [f"{each:g}" for each in _MEGABYTES])
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    typer.run(main)
