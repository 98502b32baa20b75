"""``edgefill complete``: pictures in, completed pictures out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill import __version__
from edgefill.cli.app import app
from edgefill.cli.console import (
    a_path,
    number_option,
    path_option,
    print_bytes,
    print_json,
    progress_bar,
    read_stdin,
    say,
)
from edgefill.cli.examples import examples
from edgefill.cli.stopping import Interrupted, interrupts_held, interrupts_raised
from edgefill.cli.writer import Writer
from edgefill.errors import EdgefillError, InputError
from edgefill.files import check_writable
from edgefill.kernels.names import in_words, shipped_solvers
from edgefill.memory import too_large
from edgefill.runtimes.registry import choice

if TYPE_CHECKING:
    from edgefill.cli.outputs import Outputs
    from edgefill.completion import Completer, Failure, Request, Result

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
    from edgefill.cli.outputs import GIF_FRAMES, SHEET_NAME, Sheet, plan_outputs, refuse_existing
    from edgefill.cli.shards import shard_of
    from edgefill.completion import Request, load, search_settings
    from edgefill.faces.eyes import read_eyes
    from edgefill.holes.boxes import Box
    from edgefill.pictures.images import check_format, is_folder

    numbers: dict[str, Any] = {
        "steps": steps, "lr": lr, "lam": lam, "pull": pull, "power": power, "importance": importance
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
    folder = out or Path()
    plan = [] if out is None else plan_outputs(pictures, out, format=format, extras=extras, sheet=sheet)
    everything = len(plan)
    plan = [outputs for outputs in plan if share.takes(outputs.name)]
    planned = len(plan)
    if not share.is_whole:
        say(f"shard {share} by {share.says}: {planned} of {everything} pictures; --shard 1/1 takes all")
    if skip_existing:
        plan = [outputs for outputs in plan if not outputs.exist]
    elif not force:
        refuse_existing([path for outputs in plan for path in outputs.paths] + [folder / SHEET_NAME] * sheet)
    check_writable([path for outputs in plan for path in outputs.paths] + [folder / SHEET_NAME] * sheet)
    with load(model, backend, precision=precision, threads=threads, engines=engines, say=say) as completer:
        own = completer.model
        searches, encoder = own.latent is not None, own.has_encoder
        say(f"{own.name} on {completer.backend.info}; licence of the model: {own.licence}")
        if searches and not encoder and preset == "default" and start is None:
            say(f"{completer.model.name} has no encoder: searches start at random, which takes longer")
        settings = None
        if searches or is_asked:
            settings = search_settings(
                preset, encoder=encoder, solver=solver, start=start, until=until, **numbers
            )
        run = _Run(
            completer,
            replace(request, settings=settings),
            Sheet() if sheet else None,
            skipped=planned - len(plan),
            shard=None if share.is_whole else {"shard": str(share), "others": everything - planned},
            quality=quality,
        )
        if out is None:
            run.complete_piped(check_format(format))
            return
        run.complete(plan, batch)
    run.finish(folder / SHEET_NAME, len(plan), json=json)


@dataclass
class _Run:
    """What happened to the pictures of one command."""

    completer: Completer
    request: Request
    sheet: Any
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    shard: dict[str, Any] | None = None  # which one this is, and how many pictures the others have
    quality: int | None = None  # of JPEG
    interrupted: int = 0  # the signal

    def complete(self, plan: list[Outputs], batch: int) -> None:
        """Completes the pictures of ``plan``; another thread writes each as soon as it is there."""
        sources = [outputs.source for outputs in plan]
        with progress_bar() as bar, Writer() as writer, interrupts_raised():
            task = bar.add_task("completing", total=len(plan), note="")
            outcomes = self.completer.complete_many(
                sources, self.request, batch=batch, progress=lambda done: bar.advance(task, done)
            )
            try:
                for number, (outputs, outcome) in enumerate(zip(plan, outcomes, strict=True), start=1):
                    with interrupts_held():
                        writer.put(partial(self._take, outcome, outputs))
                    bar.update(task, completed=max(number, bar.tasks[task].completed))
            except Interrupted as interruption:
                self.interrupted = interruption.signal

    def complete_piped(self, kind: str) -> None:
        """Completes the picture on stdin and writes it to stdout. Raises EdgefillError."""
        from edgefill.cli.outputs import encoded
        from edgefill.completion import Failure

        (outcome,) = self.completer.complete_many([read_stdin()], self.request)
        if isinstance(outcome, Failure):
            raise outcome.error
        for notice in outcome.notices:
            say(notice)
        print_bytes(encoded(outcome, kind, self._record(), self.quality))

    def finish(self, sheet_path: Path, total: int, *, json: bool) -> None:
        """Writes the sheet, says what happened, and ends the command with its exit code."""
        folder = sheet_path.parent
        document = {**self._record(), **(self.shard or {}), "results": self.results, "failed": self.failed}
        document |= self._saved_sheet(sheet_path)
        failure = max((item["exit_code"] for item in self.failed), default=0)
        exit_code = 128 + self.interrupted if self.interrupted else failure
        if self.interrupted:
            document["interrupted"] = True
            say(
                f"stopped: {len(self.results)} of {total} pictures are done and kept; "
                "go on with --skip-existing"
            )
        elif total > 1 or self.results:
            where = f"; written to {folder}" if self.results else ""
            say(f"completed {len(self.results)} of {total} pictures{self._failures()}{where}")
        if self.skipped:
            document["skipped"] = self.skipped
            say(f"left out {self.skipped} pictures whose outputs are there")
        if json:
            print_json(document)
        if exit_code:
            raise typer.Exit(exit_code)

    def _saved_sheet(self, path: Path) -> dict[str, Any]:
        """What is said of the sheet; where it cannot be written, that is one failure more."""
        try:
            if not (self.sheet and self.sheet.save(path)):
                return {}
        except EdgefillError as error:
            say(f"error: {error}")
            self.failed.append(_failure(path, error))
            return {}
        if self.sheet.left_out:
            say(f"{path.name} shows the first pictures only; {self.sheet.left_out} are left out")
        return {"sheet": str(path)}

    def _take(self, outcome: Result | Failure, outputs: Outputs) -> None:
        from edgefill.cli.outputs import write_result
        from edgefill.completion import Failure

        try:
            if isinstance(outcome, Failure):
                raise outcome.error
            told = write_result(outcome, outputs, self._record(), self.request.blend, self.quality)
        except (EdgefillError, MemoryError) as failure:
            error = failure if isinstance(failure, EdgefillError) else too_large(outputs.source)
            say(f"error: {error}")
            self.failed.append(_failure(outputs.source, error))
            return
        notices = [*outcome.notices, *told]
        for notice in notices:
            say(f"{outputs.source.name}: {notice}")
        self.results.append({**_success(outcome, outputs), "notices": notices})
        if self.sheet:
            self.sheet.add(outcome)

    def _record(self) -> dict[str, Any]:
        """What is needed to make the same picture again; goes into every PNG."""
        request, model, info = self.request, self.completer.model, self.completer.backend.info
        spec = request.mask_spec
        return {
            "edgefill": __version__,
            "model": model.name,
            "model_sha256": model.digest,
            "licence": model.licence,
            "backend": info.name,
            "runtime": info.runtime,
            "precision": info.precision,
            "mask": spec.path.name if spec.path else self.request.mask,
            "seed": request.seed,
            "box": request.box and list(request.box),
            "align": request.aligns,
            "eyes": list(request.eyes),
            "blend": request.blend,
            "candidates": request.candidates,
            "settings": request.settings.document() if request.settings else {},
        }

    def _failures(self) -> str:
        return f"; {len(self.failed)} failed, see above" if self.failed else ""


def check_piped(pictures: list[Path], out: Path | None, format: str, others: bool) -> None:
    """Raises InputError where a picture from stdin is asked for together with what needs a folder."""
    if len(pictures) > 1 or out is not None or others or format == "same":
        raise InputError(
            "- completes one picture from stdin to stdout: expected no other picture, no --out, no extras, "
            "no --json and a format by name; leave these out"
        )


def _success(result: Result, outputs: Outputs) -> dict[str, Any]:
    return {
        "input": str(outputs.source),
        "output": str(outputs.picture),
        **{name: str(path) for name, path in outputs.extras.items() if "candidate" not in name},
        **({"eyes": [[round(place, 2) for place in pair] for pair in result.eyes]} if result.eyes else {}),
        "ended": result.ended,
        **({} if result.ended == "pass" else _of_search(result)),
        "seconds": round(result.seconds, 4),
        **_answers(result, outputs),
    }


def _of_search(result: Result) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "loss": result.loss,
        "contextual": result.contextual,
        "perceptual": result.perceptual,
        "prior": result.prior,
        "misfit": result.misfit,
        "foreign": result.is_foreign,
    }


def _answers(result: Result, outputs: Outputs) -> dict[str, Any]:
    """What is said of the candidates and of the confidence in what was filled, if they were asked for."""
    answers: dict[str, Any] = {}
    if result.candidates:
        paths = [outputs.picture, *(path for name, path in outputs.extras.items() if "candidate" in name)]
        answers["candidates"] = [
            {"output": str(path), "contextual": candidate.contextual}
            for path, candidate in zip(paths, result.candidates, strict=False)  # fewer where they look alike
        ]
    if result.confidence is not None:
        missing = ~result.photograph.known
        inside = result.photograph.box.cut(result.confidence)[missing]
        answers["confidence_mean"] = round(float(inside.mean()) / 255, 4) if inside.size else 1.0
    return answers


def _failure(source: Path, error: EdgefillError) -> dict[str, Any]:
    kind = type(error).__name__
    return {"input": str(source), "kind": kind, "message": str(error), "exit_code": error.exit_code}
