"""``edgefill bench``: what a backend costs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import (
    number_option,
    numbers,
    path_option,
    print_json,
    progress_bar,
    require,
    say,
    show,
)
from edgefill.cli.examples import examples
from edgefill.kernels.names import in_words, shipped_solvers
from edgefill.runtimes.registry import choice


@app.command(epilog=examples("bench"))
def bench(
    model: Annotated[str, typer.Option(help="Name of an installed model, or path of one.")] = "faces64",
    backend: Annotated[str, typer.Option(help=f"{choice()}.")] = "auto",
    batch: Annotated[str, typer.Option(help="Pictures that are searched for together.")] = "1,8,64",
    precision: Annotated[
        str | None, typer.Option(help="fp16 or fp32. [default: fp16 on a GPU where the model has it]")
    ] = None,
    preset: Annotated[str, typer.Option(help="Search settings: default, reference or article.")] = "default",
    solver: Annotated[str | None, typer.Option(help=f"{in_words(shipped_solvers())}.")] = None,
    steps: Annotated[int | None, typer.Option(help="Evaluations until a picture is finished.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="encoder, random or best-of:N. [default: encoder if the model has one]", show_default=False
        ),
    ] = None,
    until: Annotated[
        str, typer.Option(help="When a picture's search ends: converged, loss:X or a number of steps.")
    ] = "",
    warm_up: Annotated[float, typer.Option(min=0, max=3600, help="Seconds that are not counted.")] = 0.2,
    seconds: Annotated[float, number_option("seconds", "Measure steps, then pictures, so long.")] = 3.0,
    iterations: Annotated[
        int | None,
        number_option(
            "iterations",
            "And at least so many steps. [default: 200, or what five times as long is enough for]",
        ),
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph/--no-graph", help="Replay several steps as one CUDA graph, on a GPU.")
    ] = True,
    threads: Annotated[int | None, number_option("threads", "CPU threads; all cores if not given.")] = None,
    plot: Annotated[
        Path | None, path_option("Also draw a chart: .png, .svg or .pdf.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a chart that exists.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure latency, throughput, memory, energy and exactness on this machine; no data is needed.

    The model completes pictures that it drew itself, with the centre missing.

    A model of one pass has no steps: the pass takes their place, from arrays on the host to arrays there.

    A step is one evaluation of loss and gradient and the update of all latents of a batch: on a GPU the time
    between events, and the mean of the steps that one CUDA graph replays. Enqueue is the host's part of it.
    Copies are apart. A picture's time is the batch's from pictures in to finished pictures out, shared by its
    pictures; pictures per second are those finished by wall clock. Times are medians; p90 and p99 are nearest
    ranks. Build is of engines that were not there, first run the first steps without building and loading.
    Memory is what is allocated on the device; on a CPU the peak of the process so far. Energy is the board's
    (NVML) or the module's (Jetson), idle power included. Off fp32 is the largest relative difference, where a
    search begins and where it ends, from ONNX Runtime on the CPU.
    """
    from edgefill.bench import Rule
    from edgefill.bench import bench as measure
    from edgefill.bench.report import heading, plot_format, surroundings, table
    from edgefill.bench.report import plot as draw
    from edgefill.cli.outputs import refuse_existing
    from edgefill.completion import search_settings
    from edgefill.files import check_writable, write_atomically
    from edgefill.model.signature import open_model

    sizes = numbers("--batch", batch)
    search_settings(preset, solver=solver, start=start, steps=steps, until=until)  # wrong ones are said first
    if plot:
        require("plot", "matplotlib")
        format = plot_format(plot.suffix)
        refuse_existing([] if force else [plot])
        check_writable([plot])
    bundle = open_model(model)
    settings = None
    if bundle.manifest.latent:
        encoder = bundle.manifest.has_encoder
        settings = search_settings(
            preset, encoder=encoder, solver=solver, start=start, steps=steps, until=until
        )
    elif preset != "default" or until or any(each is not None for each in (solver, start, steps)):
        bundle.manifest.check_latent("measure searches with")
    with progress_bar() as bar:
        task = bar.add_task("opening", total=100, note="%")
        report = measure(
            bundle,
            backend,
            sizes,
            settings=settings,
            rule=Rule(warm_up, seconds, iterations)
            if iterations
            else Rule(warm_up, seconds, longest=5 * seconds),
            precision=precision,
            threads=threads,
            graph=graph,
            say=say,
            progress=lambda phase, share: bar.update(task, description=phase, completed=int(100 * share)),
        )
    if plot:
        write_atomically(plot, draw(report, format))
        say(f"wrote {plot}")
    if json:
        print_json(report.document())
    else:
        from rich.console import Console

        show(heading(report))
        Console().print(table(report))
        show(surroundings(report))
