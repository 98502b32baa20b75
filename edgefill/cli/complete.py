"""``edgefill complete``: pictures in, completed pictures out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgefill.cli.app import app
from edgefill.cli.console import a_path, number_option, path_option, say
from edgefill.cli.examples import examples
from edgefill.errors import InputError
from edgefill.kernels.names import in_words, shipped_solvers
from edgefill.runtimes.registry import choice

_MASKS = (
    "What to fill: center[:scale], random[:fraction], pattern[:fraction], left, right, top, bottom, grid, "
    "lowres, full, alpha (what is transparent), a mask file (white = fill), or a folder with one per picture."
)
_PIPED = Path("-")


@app.command(epilog=examples("complete"))
def complete(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, or folders of them; - is one from stdin, to stdout.",
            show_default=False,
            parser=a_path,
            metavar="PICTURES",
        ),
    ],
    out: Annotated[
        Path | None, path_option("Folder for the completed pictures; none with -.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name of an installed model, path of one, or smooth, which needs none.")
    ] = "photos",
    mask: Annotated[str, typer.Option(help=_MASKS)] = "center",
    box: Annotated[str, typer.Option(help="Complete only this part: x,y,w,h in pixels.")] = "",
    align: Annotated[
        bool,
        typer.Option("--align", help="Find the faces; complete each as it stands in the model's pictures."),
    ] = False,
    eyes: Annotated[
        str, typer.Option(help="Align the face with these eyes, x,y,x,y in pixels; four more for another.")
    ] = "",
    preset: Annotated[str, typer.Option(help="Search settings: default, reference or article.")] = "default",
    solver: Annotated[str | None, typer.Option(help=f"{in_words(shipped_solvers())}.")] = None,
    steps: Annotated[int | None, typer.Option(help="Evaluations of loss and gradient.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="encoder, random or best-of:N. [default: encoder if the model has one]", show_default=False
        ),
    ] = None,
    until: Annotated[
        str, typer.Option(help="When a picture's search ends: converged, loss:X, ms:T or a number of steps.")
    ] = "",
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    lam: Annotated[float | None, typer.Option(help="Weight of the perceptual loss.")] = None,
    pull: Annotated[float | None, typer.Option(help="Weight of z's distance from what is expected.")] = None,
    features: Annotated[
        bool | None,
        typer.Option(
            "--features/--no-features",
            help="Move what G's first layer makes of z too. [default: where that can be]",
            show_default=False,
        ),
    ] = None,
    power: Annotated[int | None, typer.Option(help="1 sums absolute differences, 2 squared ones.")] = None,
    importance: Annotated[
        int | None, typer.Option(help="Weigh known pixels by what is missing in this odd window; 0: alike.")
    ] = None,
    seed: Annotated[
        int, number_option("seed", "Of the mask and the search; the same seed, the same bytes.")
    ] = 0,
    batch: Annotated[int, number_option("batch", "Pictures that are searched for together.")] = 16,
    blend: Annotated[str, typer.Option(help="How the hole joins the picture: poisson or none.")] = "poisson",
    resize_mask: Annotated[
        bool, typer.Option("--resize-mask", help="Scale a mask file to the picture's size.")
    ] = False,
    format: Annotated[
        str, typer.Option(help="png, webp, tiff, bmp (all lossless), jpeg, or same: as the input is.")
    ] = "png",
    quality: Annotated[
        int | None, number_option("quality", "Of JPEG, which changes known pixels a little. [default: 95]")
    ] = None,
    strip: Annotated[
        bool, typer.Option("--strip", help="Also NAME.strip.png: input, masked, completed.")
    ] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also sheet.png: all pictures of this run.")] = False,
    gif: Annotated[bool, typer.Option("--gif", help="Also NAME.gif: the search as an animation.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Also NAME.trace.npz: loss and z of every step.")
    ] = False,
    candidates: Annotated[
        int,
        number_option("candidates", "Different completions of each picture: NAME.candidate-2.png and on."),
    ] = 1,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also NAME.confidence.png: white where it is sure.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on: leave out pictures whose outputs exist.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
    shard: Annotated[
        str,
        typer.Option(
            help="Only a share of the pictures, such as 3/16. [default: of folders that of this task of a "
            "Slurm array or indexed Kubernetes job; else all]",
            show_default=False,
        ),
    ] = "",
    backend: Annotated[str, typer.Option(help=f"{choice()}.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp16 or fp32. [default: fp16 on a GPU where the model has it]")
    ] = None,
    engines: Annotated[
        Path | None, path_option("Folder of `edgefill build --out`. [default: the cache]")
    ] = None,
    threads: Annotated[int | None, number_option("threads", "CPU threads; all cores if not given.")] = None,
) -> None:
    """Fill the missing part of pictures; what is known stays as it was, bit for bit.

    A folder goes on after a picture that fails; the exit code and a line at the end say so.
    """
    from edgefill.cli.completing import Run
    from edgefill.cli.outputs import GIF_FRAMES, SHEET_NAME, Sheet
    from edgefill.cli.planning import Plan, plan_run
    from edgefill.cli.shards import shard_of
    from edgefill.completion import Request, load, search_settings
    from edgefill.faces.eyes import read_eyes
    from edgefill.holes.boxes import Box
    from edgefill.pictures.images import check_format, is_folder

    numbers: dict[str, Any] = {
        "steps": steps, "lr": lr, "lam": lam, "pull": pull, "features": features, "power": power,
        "importance": importance,
    }  # fmt: skip
    # What cannot be asked is said before anything is read or loaded.
    region = Box.parse(box) if box else None
    frames = GIF_FRAMES if gif else 0
    search_settings(preset, solver=solver, start=start, until=until, **numbers)
    request = Request(
        mask, seed, region, None, blend, resize_mask, trace, frames, candidates, confidence,
        align, read_eyes(eyes) if eyes else (),
    )  # fmt: skip
    spec = request.mask_spec
    if spec.kind == "folder":
        request = replace(request, mask=replace(spec, roots=tuple(filter(is_folder, pictures))))
    is_asked = preset != "default" or bool(until) or any(
        value is not None for value in (solver, start, *numbers.values())
    )  # fmt: skip
    wanted = {"strip": strip, "gif": gif, "trace": trace, "confidence": confidence}
    extras = [name for name, chosen in wanted.items() if chosen]
    extras += [f"candidate-{number}" for number in range(2, candidates + 1)]
    if skip_existing and force:
        raise InputError("--skip-existing keeps what exists and --force replaces it; expected one of the two")
    if quality is not None and format not in ("jpeg", "jpg", "same"):
        raise InputError(f"--quality is for JPEG, which {format} is not; add --format jpeg, or leave it out")
    share = shard_of(shard, os.environ, of_folder=any(map(is_folder, pictures)))
    if sheet and not share.is_whole:
        raise InputError(
            f"the shards of a run would each write {SHEET_NAME}, and this is shard {share} by {share.says}; "
            "expected no sheet; leave --sheet out"
        )
    if _PIPED in pictures:
        check_piped(pictures, out, format, bool(extras or sheet or json or shard))
    elif out is None:
        raise typer.BadParameter("it is missing; expected a folder for the pictures", param_hint="--out")
    plan = Plan((), share)
    if out is not None:
        plan = plan_run(
            pictures, out, share, format=format, extras=extras, sheet=sheet, skip_existing=skip_existing,
            force=force,
        )  # fmt: skip
    run = Run(request, plan, Sheet() if sheet else None, quality)
    if out is not None and not plan.pictures:
        run.finish(out, json=json)  # of a model that nothing is left for nothing is loaded
        return
    with load(model, backend, precision=precision, threads=threads, engines=engines, say=say) as completer:
        own = completer.model
        searches, encoder = own.latent is not None, own.has_encoder
        say(f"{own.name} on {completer.backend.info}; licence of the model: {own.licence}")
        if searches and not encoder and preset == "default" and start is None:
            say(f"{completer.model.name} has no encoder: searches start at random, which takes longer")
        if searches or is_asked:
            settings = search_settings(
                preset, encoder=encoder, solver=solver, start=start, until=until, **numbers
            )
            run.request = replace(request, settings=settings)
        if out is None:
            run.complete_piped(completer, check_format(format))
            return
        run.complete(completer, batch)
    run.finish(out, json=json)


def check_piped(pictures: list[Path], out: Path | None, format: str, others: bool) -> None:
    """Raises InputError where a picture from stdin is asked for together with what needs a folder."""
    if len(pictures) > 1 or out is not None or others or format == "same":
        raise InputError(
            "- completes one picture from stdin to stdout: expected no other picture, no --out, no extras, "
            "no --json and a format by name; leave these out"
        )
