"""What a photograph of 12 megapixels with ten holes costs, in a process of its own.

    python -m benchmarks.large_photograph MODEL BACKEND PICTURE MASK

prints JSON: the peak of memory from files to file, and the seconds of the completion against those of the
network's own passes in it. ``measured`` makes the photograph and runs that.
"""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image, ImageDraw

from edgefill.completion import Completer, load
from edgefill.pictures.images import save_picture
from edgefill.runtimes import Runtime

SIZE = 4000, 3000
HOLES = 10
_ENLARGED = 2  # times: what cameras with 12 megapixels draw is softer than a small picture
_SMALLEST, _LARGEST = 100, 600  # pixels of a hole's longer side
_CELLS = 5, 2  # one hole in each
_ROUNDS = 5


class TimedRuntime:
    """A runtime whose passes through a completion network are counted and timed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.restart()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def restart(self) -> None:
        """Forgets what has been counted."""
        self.passes, self.seconds, self._last = 0, 0.0, ("", {})

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        begin = time.perf_counter()
        outputs = self._runtime.run(graph, feeds)
        self.seconds += time.perf_counter() - begin
        first = next(iter(feeds.values()))
        self.passes += len(first) if first.ndim == 4 else 1  # without N it is a picture
        self._last = graph, {name: value[:1] if value.ndim == 4 else value for name, value in feeds.items()}
        return outputs

    def seconds_of_one(self) -> float:
        """Of one more pass on its own, the median of some."""
        seconds = []
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            self._runtime.run(*self._last)
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds)


def main(model: str, backend: str, picture: Path, mask: Path) -> None:
    loaded = load(model, backend)
    clock = TimedRuntime(loaded.backend)
    completer = Completer(loaded.model, clock)
    completer.complete(np.zeros((64, 64, 3), np.uint8))  # opens the session
    clock.restart()
    begin = time.perf_counter()
    result = completer.complete(picture, str(mask))
    seconds = time.perf_counter() - begin
    save_picture(result.picture, picture.with_name("completed.png"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    passes, inside, one = clock.passes, clock.seconds, clock.seconds_of_one()
    figures = {
        "peak_mb": round(peak),
        "passes": passes,
        "seconds": round(seconds, 3),
        "seconds_without_reading": round(result.seconds, 3),
        "seconds_in_passes": round(inside, 3),
        "seconds_of_one_pass": float(f"{one:.3g}"),
        "times_its_passes": round(result.seconds / inside, 3),
    }
    print(json.dumps(figures))


def measured(
    model: str, backend: str, sources: Sequence[Path], size: tuple[int, int] = SIZE
) -> dict[str, Any]:
    """The figures of ``main`` for the photograph made of ``sources``.

    The peak is no less than that of the process that asks: ask before it holds much.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture, mask = Path(folder) / "photograph.png", Path(folder) / "mask.png"
        mosaic(sources, size).save(picture, compress_level=1)
        holes(size).save(mask)
        command = [sys.executable, "-m", "benchmarks.large_photograph", model, backend, picture, mask]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the large photograph on {backend} failed: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def mosaic(sources: Sequence[Path], size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of ``size`` (width, height): ``sources``, enlarged, side by side, from the first on again."""
    page = Image.new("RGB", size)
    supply, top = itertools.cycle(sources), 0
    while top < size[1]:
        left, lowest = 0, size[1]
        while left < size[0]:
            with Image.open(next(supply)) as image:
                tile = image.convert("RGB").resize((_ENLARGED * image.width, _ENLARGED * image.height))
            page.paste(tile, (left, top))
            left, lowest = left + tile.width, min(lowest, tile.height)
        top += lowest
    return page


def holes(size: tuple[int, int] = SIZE) -> Image.Image:
    """A mask of ``size``, white = fill: blobs and brush strokes in turn, each larger than the one before."""
    page = Image.new("1", size)
    draw = ImageDraw.Draw(page)
    wide, high = size[0] // _CELLS[0], size[1] // _CELLS[1]
    sides = np.linspace(_SMALLEST, _LARGEST, HOLES) * size[0] / SIZE[0]
    for number, side in enumerate(sides):
        across, down = number % _CELLS[0], number // _CELLS[0]
        centre = (across + 0.5) * wide, (down + 0.5) * high
        (_stroke if number % 2 else _blob)(draw, centre, float(side) / 2)
    return page


def _stroke(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float) -> None:
    """A stroke with two bends, a quarter of its length thick."""
    bends = ((-0.75, -0.75), (0.5, -0.25), (-0.5, 0.25), (0.75, 0.75))
    points = [(centre[0] + x * radius, centre[1] + y * radius) for x, y in bends]
    draw.line(points, fill=1, width=round(radius / 2), joint="curve")


def _blob(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float) -> None:
    """Three discs that overlap."""
    for x, y, share in ((-0.4, -0.3, 0.6), (0.4, -0.1, 0.6), (-0.1, 0.4, 0.6)):
        middle, own = (centre[0] + x * radius, centre[1] + y * radius), share * radius
        draw.ellipse((middle[0] - own, middle[1] - own, middle[0] + own, middle[1] + own), fill=1)


if __name__ == "__main__":
    typer.run(main)
