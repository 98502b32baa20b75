"""``edgefill build``: the graphs of a model as TensorRT engines, before they are needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill.cli.app import app
from edgefill.cli.console import numbers, path_option, print_json, progress_bar, say, show
from edgefill.cli.examples import examples
from edgefill.errors import BackendUnavailable
from edgefill.extras import install_line
from edgefill.runtimes.registry import LIBRARIES, choice, row_of

if TYPE_CHECKING:
    from edgefill.export.engines.recipe import Batch
    from edgefill.export.engines.store import Engines, Entry


@app.command(epilog=examples("build"))
def build(
    model: Annotated[str, typer.Argument(help="Name of an installed model, or path of one.")],
    library: Annotated[
        str | None, typer.Option("--for", help=f"{choice(LIBRARIES)}. [default: the one that is installed]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp16 or fp32. [default: fp16 where the model has it]")
    ] = None,
    batch: Annotated[
        str, typer.Option(help="Pictures that are searched for together; an engine each.")
    ] = "1",
    sm: Annotated[
        str,
        typer.Option(
            help="GPUs to build for (rtx), such as 86,89. [default: the one that is here; needed without]"
        ),
    ] = "",
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="One engine for every size between those of --batch.")
    ] = False,
    optimization_level: Annotated[
        int | None, typer.Option(min=0, max=5, help="How hard to optimise; TensorRT's own if not given.")
    ] = None,
    out: Annotated[
        Path | None, path_option("Folder for the engines. [default: the cache, where they are found]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build engines again that are there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Build the TensorRT engines of a model for this machine; completion then starts without building."""
    from edgefill.export.engines.store import Engines
    from edgefill.model.signature import open_model

    sizes, architectures = numbers("--batch", batch), numbers("--sm", sm, "sm") if sm else []
    bundle = open_model(model)
    engines = Engines(bundle, library or _installed(), precision=precision, say=say, folder=out)
    engines.check_targets(architectures)
    if engines.precision == "fp32" and precision is None:
        say(
            f"{model} holds fp32 graphs only; fp16 is faster: edgefill export {model} --precision both "
            "--out FASTER.edgefill"
        )
    batches = [_range(sizes)] if dynamic else [(size, size, size) for size in sizes]
    options = {"sm": architectures, "level": optimization_level, "force": force}
    graphs = bundle.graphs(engines.precision)
    entries = [_build(engines, graph, batch, **options) for graph in graphs for batch in batches]
    if json:
        print_json({"model": bundle.manifest.name, "engines": [_document(entry) for entry in entries]})
    else:
        show("\n".join(_table(entries)))


def _build(engines: Engines, graph: str, batch: Batch, **options: Any) -> Entry:
    with progress_bar() as bar:
        task = bar.add_task(f"building {graph}, batch {batch[2]}", total=None, note="")

        def report(phase: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, note=phase)

        entry: Entry = engines.build(graph, batch, progress=report, **options)
    for complaint in entry.complaints:
        say(f"TensorRT warns about {entry.path.name}: {complaint}")
    if not entry.built:
        say(f"{entry.path.name} is there and fits; --force builds it again")
    return entry


def _installed() -> str:
    """The library that is installed, TensorRT before TensorRT for RTX."""
    from importlib.util import find_spec

    for name in LIBRARIES:
        if find_spec(row_of(name).package):
            return name
    rtx, tensorrt = install_line("rtx-build"), row_of("tensorrt").install
    raise BackendUnavailable(
        "neither tensorrt nor tensorrt_rtx is installed, which build engines; install one with: "
        f"{rtx} (GeForce and RTX GPUs) or {tensorrt} (others); "
        "on a Jetson it comes with JetPack, and `edgefill doctor` says what hides it"
    )


def _range(sizes: list[int]) -> Batch:
    """Smallest, most likely and largest of ``sizes``; from 1 where there is one."""
    return (sizes[0] if len(sizes) > 1 else 1), sizes[len(sizes) // 2], sizes[-1]


def _table(entries: list[Entry]) -> list[str]:
    rows = [("graph", "batch", "precision", "build s", "plan MB", "path")]
    for entry in entries:
        recipe, sidecar = entry.recipe, entry.sidecar
        batch = str(recipe.batch[2]) if recipe.static else f"{recipe.batch[0]}..{recipe.batch[2]}"
        seconds, size = f"{sidecar.build_seconds:.2f}", f"{sidecar.size / 1e6:.1f}"
        rows.append((recipe.graph, batch, recipe.precision, seconds, size, str(entry.path)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                graph.ljust(widths[0]),
                batch.rjust(widths[1]),
                precision.ljust(widths[2]),
                seconds.rjust(widths[3]),
                size.rjust(widths[4]),
                path,
            ]
        )
        for graph, batch, precision, seconds, size, path in rows
    ]


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "built": entry.built,
        "complaints": list(entry.complaints),
        **asdict(entry.sidecar),
    }
