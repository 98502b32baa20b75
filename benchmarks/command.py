"""The command as a user runs it: cold start, pictures a second, and memory, each in a process of its own.

python -m benchmarks.command [--model faces64] [--folder PICTURES] [--name NAME]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.pictures import held_out
from benchmarks.record import record
from edgefill.pictures.images import find_pictures

_COLD_RUNS = 9
_COPIES = 5  # of the folder: memory has to be the same


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    peak_mb: float

    @classmethod
    def of(cls, *arguments: object) -> Cost:
        """What ``edgefill`` with ``arguments`` costs; what it says on stderr is kept for its failure."""
        command = [sys.executable, "-m", "edgefill", *map(str, arguments)]
        with tempfile.TemporaryFile() as said:
            begin = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            said.seek(0)
            if status:
                raise SystemExit(f"{' '.join(command)} ended with {status}: {said.read().decode()[-2000:]}")
        return cls(seconds, usage.ru_maxrss / 1024)


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    folder: Annotated[
        Path | None, typer.Option(help="Pictures; held-out ones of the model if not given.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="How many, first by name.")] = 1000,
    reference: Annotated[int, typer.Option(help="How many for the reference preset.")] = 48,
    batch: Annotated[int, typer.Option(help="Pictures that run together.")] = 16,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    folder = folder or held_out(model)
    paths = find_pictures([folder])[:pictures]
    if not paths:
        raise SystemExit(f"no pictures in {folder}; name a folder with --folder")
    with tempfile.TemporaryDirectory() as place:
        figures = _measured(model, paths, reference, batch, Path(place))
    for key, value in figures.items():
        print(f"{key}: {value}")
    if name:
        print(f"recorded in {record(name, figures)}")


def _measured(model: str, paths: Sequence[Path], reference: int, batch: int, place: Path) -> dict[str, Any]:
    few, all_of_them, many = place / "few", place / "all", place / "many"
    _copy(paths[:reference], few)
    _copy(paths, all_of_them)
    for number in range(_COPIES):
        _copy(paths, many / str(number))
    options = ("--model", model, "--batch", batch, "--backend", "cpu")

    def complete(source: Path, *more: object) -> Cost:
        out = place / "out"
        shutil.rmtree(out, ignore_errors=True)
        return Cost.of("complete", source, "--out", out, *options, *more)

    complete(paths[0])  # the files come from the disk once
    cold = [complete(paths[0]) for _ in range(_COLD_RUNS)]
    slow = complete(few, "--preset", "reference")
    quick = complete(all_of_them)
    flat = complete(many)
    rates = {"default": len(paths) / quick.seconds, "reference preset": reference / slow.seconds}
    return {
        "model": model,
        "batch": batch,
        "cold_start_seconds": round(statistics.median(cost.seconds for cost in cold), 3),
        "cold_start_runs": [round(cost.seconds, 3) for cost in cold],
        "cold_start_peak_mb": round(max(cost.peak_mb for cost in cold), 1),
        "pictures": {"default": len(paths), "reference preset": reference},
        "pictures_per_second": {label: round(rate, 2) for label, rate in rates.items()},
        "times_the_reference_preset": round(rates["default"] / rates["reference preset"], 1),
        "runs": {
            f"default, {len(paths)}": asdict(quick),
            f"default, {_COPIES * len(paths)}": asdict(flat),
            f"reference preset, {reference}": asdict(slow),
        },
    }


def _copy(paths: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copy(path, folder)


if __name__ == "__main__":
    typer.run(main)
