"""Photographs: models against a network's own packaging and against methods that have learned nothing.

    python -m benchmarks.photographs --model MODEL [--model MODEL] [--backends cpu] [--data FOLDER]
        [--pipeline FILE.onnx] [--sets kodak,test] [--kinds strokes,blobs,box] [--contenders NAMES]
        [--pictures N] [--sheet FILE.png] [--strip FILE.png] [--no-large] [--name NAME]

The contenders take turns picture by picture, and each gets the picture with its hole painted over. The
scores are those of ``score.py`` beside the pictures: PSNR and SSIM in the hole, LPIPS of the picture, and how
many known values were changed. With the first model batches of eight are compared with single runs, and a
photograph of 12 megapixels is completed in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import large_photograph
from benchmarks.fillers import BLACK, WHITE, Filler, completed_together, fillers, painted
from benchmarks.pictures import MIGAN_PIPELINE, PHOTOS
from benchmarks.record import record
from edgefill.cli.console import progress_bar
from edgefill.completion import Completer, load
from edgefill.pictures.images import find_pictures
from edgefill.pictures.sheets import masked_view, save_image, sheet

_REST = 0.1  # seconds before a turn: until then threads of the contender before may wait actively
_TOGETHER = 8
_SHOWN, _CELL = 4, 320  # pictures of each kind on a sheet, and how wide they are
_STRIP_CELL = 400
_REFERENCE = "pipeline-white"
_LPIPS = Path("..") / "lpips" / "alex.npz"


@dataclass(frozen=True)
class Sample:
    """A photograph and its mask."""

    picture: Path
    mask: Path

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The photograph, uint8 [H, W, 3], and its hole, bool [H, W]."""
        with Image.open(self.picture) as picture, Image.open(self.mask) as mask:
            return np.asarray(picture.convert("RGB")), np.asarray(mask.convert("L")) > 127


def main(
    models: Annotated[list[str], typer.Option("--model", help="A bundle, or the name of one; repeatable.")],
    backends: Annotated[str, typer.Option(help="That edgefill runs them on, with commas.")] = "cpu",
    pipeline: Annotated[Path, typer.Option(help="The network in its authors' packaging.")] = MIGAN_PIPELINE,
    data: Annotated[Path, typer.Option(help="Folder of the sets, with masks and score.py.")] = PHOTOS,
    sets: Annotated[str, typer.Option(help="Folders of pictures.")] = "kodak,test",
    kinds: Annotated[str, typer.Option(help="Kinds of masks.")] = "strokes,blobs,box",
    contenders: Annotated[str, typer.Option(help="Some of them, with commas; all if not given.")] = "",
    pictures: Annotated[int, typer.Option(help="Of each set, evenly spaced by name; 0 is all.")] = 0,
    sheet_path: Annotated[
        Path | None, typer.Option("--sheet", help="Pictures of all contenders, a sheet for each kind.")
    ] = None,
    strip_path: Annotated[
        Path | None, typer.Option("--strip", help="One picture: masked, completed, as it was.")
    ] = None,
    strip_of: Annotated[str, typer.Option(help="Which one: set/kind/name.")] = "kodak/strokes/23",
    large: Annotated[bool, typer.Option(help="Complete 12 megapixels too.")] = True,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    races = {
        f"{group}/{kind}": _samples(data, group, kind, pictures)
        for group in sets.split(",")
        for kind in kinds.split(",")
    }
    model, figures = models[0], dict[str, Any](models=[Path(each).name for each in models])
    if large:  # First: what this process holds counts in its children's peaks.
        sources = [sample.picture for sample in next(iter(races.values()))]
        figures["large"] = {
            each: large_photograph.measured(model, each, sources) for each in backends.split(",")
        }
        _print_table("12 megapixels, ten holes", figures["large"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        field = _field(fillers(models, backends.split(","), pipeline), contenders)
        figures["races"] = _all_raced(field, races, data, place, sheet_path)
        if strip_path:
            _save_strip(next(iter(field)), strip_of, races, place, strip_path)
        figures["batches"] = {each: _batches(model, each, races) for each in backends.split(",")}
        for backend, rows in figures["batches"].items():
            _print_table(f"batches of {_TOGETHER}, {backend}", rows)
    if name:
        print(f"recorded in {record(name, figures)}")


def _samples(data: Path, group: str, kind: str, count: int) -> list[Sample]:
    """``count`` photographs of a set, all for 0, with their masks of a kind."""
    folder = data / group
    if not folder.is_dir():
        raise SystemExit(f"there are no photographs in {folder}; name the folder of the sets with --data")
    paths = find_pictures([folder])
    if 0 < count < len(paths):
        paths = [paths[number * len(paths) // count] for number in range(count)]
    return [Sample(path, data / "masks" / group / kind / f"{path.stem}.png") for path in paths]


def _field(found: dict[str, Callable[[], Filler]], names: str) -> dict[str, Filler]:
    """Those of ``found`` that were asked for, opened, in their order."""
    asked = names.split(",") if names else list(found)
    unknown = sorted(set(asked) - set(found))
    if unknown:
        raise SystemExit(f"there are no contenders {', '.join(unknown)}; expected some of {', '.join(found)}")
    return {name: opened() for name, opened in found.items() if name in asked}


def _all_raced(
    field: dict[str, Filler],
    races: dict[str, list[Sample]],
    data: Path,
    place: Path,
    sheet_path: Path | None,
) -> dict[str, Any]:
    """By set and kind, each contender's figures; what they made is in folders of ``place``, and on sheets."""
    figures = {}
    with progress_bar() as progress:
        task = progress.add_task("photographs", total=sum(map(len, races.values())), note="")
        for where, samples in races.items():
            progress.update(task, note=where)
            seconds = _raced(field, samples, place / where, lambda: progress.advance(task))
            if sheet_path:
                path = sheet_path.with_stem(f"{sheet_path.stem}-{where.replace('/', '-')}")
                save_image(_sheet(list(field), samples, place / where), path)
            rows = {
                name: _speed(own, seconds) | _scores(data, where, place / where / name)
                for name, own in seconds.items()
            }
            figures[where] = {"pictures": len(samples), "contenders": rows}
            _print_table(f"{where}, {len(samples)} pictures", rows)
    return figures


def _raced(
    field: dict[str, Filler], samples: Sequence[Sample], place: Path, done: Callable[[], object]
) -> dict[str, list[float]]:
    """Of each contender the seconds for each of ``samples``; what it made is in its folder in ``place``.

    Before the first picture everybody completes it once without a clock.
    """
    seconds: dict[str, list[float]] = {name: [] for name in field}
    for number, sample in enumerate(samples):
        picture, hole = sample.read()
        for name, (fill, paint) in field.items():
            given = painted(picture, hole, paint)
            if not number:
                fill(given, hole)
            time.sleep(_REST)
            begin = time.perf_counter()
            completed = fill(given, hole)
            seconds[name].append(time.perf_counter() - begin)
            path = _completed(place, name, sample)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(completed).save(path, compress_level=1)
        done()
    return seconds


def _completed(place: Path, name: str, sample: Sample) -> Path:
    return place / name / f"{sample.picture.stem}.png"


def _speed(own: list[float], seconds: dict[str, list[float]]) -> dict[str, float]:
    """Medians over pictures: milliseconds, and the ratio to the pipeline's where that took part."""
    figures = {"ms": round(1e3 * statistics.median(own), 1)}
    if _REFERENCE in seconds:
        ratios = (a / b for a, b in zip(own, seconds[_REFERENCE], strict=True))
        figures["times_pipeline"] = round(statistics.median(ratios), 3)
    return figures


def _scores(data: Path, where: str, completed: Path) -> dict[str, float]:
    """What ``score.py`` says of the pictures in ``completed``; it ran over those that are there."""
    originals, masks = data / where.split("/")[0], data / "masks" / where
    command = [sys.executable, data / "score.py", originals, masks, completed, "--lpips", data / _LPIPS]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{data / 'score.py'} failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return {key: found[key] for key in ("psnr", "ssim", "lpips", "changed")}


def _batches(model: str, backend: str, races: dict[str, list[Sample]]) -> dict[str, dict[str, float]]:
    """By set and kind: how far a batch of eight is from single runs, and what each costs."""
    with load(model, backend) as completer:
        return {
            where: _compared([sample.read() for sample in samples[:_TOGETHER]], completer)
            for where, samples in races.items()
        }


def _compared(some: list[tuple[np.ndarray, np.ndarray]], completer: Completer) -> dict[str, float]:
    """Of pictures with their holes: grey levels between one batch and single runs, and the milliseconds.

    The batch finds white in the holes where the single runs find black: a look into them would show as well.
    """
    holes = [hole for _, hole in some]

    def run(paint: int, batch: int) -> tuple[np.ndarray, float]:
        given = [painted(*pair, paint) for pair in some]
        begin = time.perf_counter()
        completed = completed_together(completer, given, holes, batch)
        values = np.concatenate([each.ravel() for each in completed]).astype(int)
        return values, 1e3 * (time.perf_counter() - begin) / len(some)

    (together, quick), (alone, slow) = run(WHITE, _TOGETHER), run(BLACK, 1)
    apart = np.abs(together - alone)
    return {
        "pictures": len(some),
        "values_that_differ": int((apart > 0).sum()),
        "largest_difference": int(apart.max()),
        "ms_a_picture": round(quick, 1),
        "ms_a_picture_alone": round(slow, 1),
    }


def _print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    table = Table(title, *columns)
    for name, row in rows.items():
        table.add_row(name, *(str(row[column]) for column in columns))
    Console(width=160).print(table)


def _sheet(names: list[str], samples: Sequence[Sample], place: Path) -> Image.Image:
    """A row for each of the first pictures: its hole, what each contender made of it, and the original."""
    views: list[Image.Image] = []
    for sample in samples[:_SHOWN]:
        picture, hole = sample.read()
        original = Image.fromarray(picture)
        completed = [Image.open(_completed(place, name, sample)) for name in names]
        views += [masked_view(original, ~hole), *completed, original]
    labels = ["masked", *names, "original"]
    return sheet(views, labels * (len(views) // len(labels)), columns=len(labels), cell=_CELL)


def _save_strip(name: str, which: str, races: dict[str, list[Sample]], place: Path, path: Path) -> None:
    """A photograph with its hole, completed by the contender ``name``, and as it was."""
    where, _, stem = which.rpartition("/")
    found = [sample for sample in races.get(where, ()) if sample.picture.stem == stem]
    if not found:
        raise SystemExit(f"there is no {which} among the pictures; expected set/kind/name")
    picture, hole = found[0].read()
    original = Image.fromarray(picture)
    views = [masked_view(original, ~hole), Image.open(_completed(place / where, name, found[0])), original]
    save_image(sheet(views, columns=len(views), cell=_STRIP_CELL), path)


if __name__ == "__main__":
    typer.run(main)
