"""``edgefill complete``: pictures in, completed pictures out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill import __version__
from edgefill.cli.app import app
from edgefill.cli.console import print_json, progress_bar, say
from edgefill.cli.stopping import Interrupted, interrupts_held, interrupts_raised
from edgefill.cli.writer import Writer
from edgefill.errors import EdgefillError
from edgefill.kernels.solvers import SOLVERS_IN_WORDS
from edgefill.runtimes.registry import choice

if TYPE_CHECKING:
    from edgefill.cli.outputs import Outputs
    from edgefill.completion import Completer, Failure, Request, Result

_MASKS = (
    "What to fill: center[:scale], random[:fraction], pattern[:fraction], left, right, top, bottom, grid, "
    "lowres, full, alpha (what is transparent), a mask file (white = fill), or a folder with one per picture."
)


@app.command()
def complete(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the completed pictures.", show_default=False)],
    model: Annotated[str, typer.Option(help="Name of an installed model, or path of one.")] = "faces64",
    mask: Annotated[str, typer.Option(help=_MASKS)] = "center",
    box: Annotated[str, typer.Option(help="Complete only this part: x,y,w,h in pixels.")] = "",
    preset: Annotated[str, typer.Option(help="Search settings: default, reference or article.")] = "default",
    solver: Annotated[str | None, typer.Option(help=f"{SOLVERS_IN_WORDS}.")] = None,
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
    seed: Annotated[int, typer.Option(help="Of the mask and the search; the same seed, the same bytes.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that are searched for together.")] = 16,
    blend: Annotated[str, typer.Option(help="How the hole joins the picture: poisson or none.")] = "poisson",
    resize_mask: Annotated[
        bool, typer.Option("--resize-mask", help="Scale a mask file to the picture's size.")
    ] = False,
    format: Annotated[str, typer.Option(help="png, webp, tiff, bmp (all lossless) or jpeg.")] = "png",
    strip: Annotated[
        bool, typer.Option("--strip", help="Also NAME.strip.png: input, masked, completed.")
    ] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also sheet.png: all pictures of this run.")] = False,
    gif: Annotated[bool, typer.Option("--gif", help="Also NAME.gif: the search as an animation.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Also NAME.trace.npz: loss and z of every step.")
    ] = False,
    candidates: Annotated[
        int, typer.Option(min=1, help="Different completions of each picture: NAME.candidate-2.png and on.")
    ] = 1,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also NAME.confidence.png: white where it is sure.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on: leave out pictures whose outputs exist.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
    backend: Annotated[str, typer.Option(help=f"{choice()}.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp16 or fp32. [default: fp16 on a GPU where the model has it]")
    ] = None,
    engines: Annotated[
        Path | None, typer.Option(help="Folder of `edgefill build --out`. [default: the cache]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if not given.")] = None,
) -> None:
    """Fill the missing part of pictures; what is known stays as it was, bit for bit.

    A folder goes on after a picture that fails; the exit code and a line at the end say so.
    """
    from edgefill.cli.outputs import GIF_FRAMES, SHEET_NAME, Sheet, plan_outputs, refuse_existing
    from edgefill.completion import Request, load, search_settings
    from edgefill.holes.boxes import Box

    numbers: dict[str, Any] = {
        "steps": steps, "lr": lr, "lam": lam, "pull": pull, "power": power, "importance": importance
    }  # fmt: skip
    region = Box.parse(box) if box else None
    frames = GIF_FRAMES if gif else 0
    search_settings(preset, solver=solver, start=start, until=until, **numbers)  # wrong ones are said first
    is_asked = preset != "default" or bool(until) or any(
        value is not None for value in (solver, start, *numbers.values())
    )  # fmt: skip
    wanted = {"strip": strip, "gif": gif, "trace": trace, "confidence": confidence}
    extras = [name for name, chosen in wanted.items() if chosen]
    extras += [f"candidate-{number}" for number in range(2, candidates + 1)]
    plan = plan_outputs(pictures, out, format=format, extras=extras, sheet=sheet)
    planned = len(plan)
    if skip_existing:
        plan = [outputs for outputs in plan if not outputs.exist]
    elif not force:
        refuse_existing([path for outputs in plan for path in outputs.paths] + [out / SHEET_NAME] * sheet)
    with load(model, backend, precision=precision, threads=threads, engines=engines, say=say) as completer:
        searches, encoder = completer.model.latent is not None, completer.model.has_encoder
        say(f"{completer.model.name} on {completer.backend.info}")
        if searches and not encoder and preset == "default" and start is None:
            say(f"{completer.model.name} has no encoder: searches start at random, which takes longer")
        settings = None
        if searches or is_asked:
            settings = search_settings(
                preset, encoder=encoder, solver=solver, start=start, until=until, **numbers
            )
        request = Request(
            mask, seed, region, settings, blend, resize_mask, trace, frames, candidates, confidence
        )
        run = _Run(completer, request, Sheet() if sheet else None, skipped=planned - len(plan))
        run.complete(plan, batch)
    run.finish(out / SHEET_NAME, len(plan), json=json)


@dataclass
class _Run:
    """What happened to the pictures of one command."""

    completer: Completer
    request: Request
    sheet: Any
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
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

    def finish(self, sheet_path: Path, total: int, *, json: bool) -> None:
        """Writes the sheet, says what happened, and ends the command with its exit code."""
        document = {**self._record(), "results": self.results, "failed": self.failed}
        if self.sheet and self.sheet.save(sheet_path):
            document["sheet"] = str(sheet_path)
            if self.sheet.left_out:
                say(f"{sheet_path.name} shows the first pictures only; {self.sheet.left_out} are left out")
        failure = max((item["exit_code"] for item in self.failed), default=0)
        exit_code = 128 + self.interrupted if self.interrupted else failure
        if self.interrupted:
            document["interrupted"] = True
            say(
                f"stopped: {len(self.results)} of {total} pictures are done and kept; "
                "go on with --skip-existing"
            )
        elif total > 1:
            say(f"completed {len(self.results)} of {total} pictures" + self._failures())
        if self.skipped:
            document["skipped"] = self.skipped
            say(f"left out {self.skipped} pictures whose outputs are there")
        if json:
            print_json(document)
        if exit_code:
            raise typer.Exit(exit_code)

    def _take(self, outcome: Result | Failure, outputs: Outputs) -> None:
        from edgefill.cli.outputs import write_result
        from edgefill.completion import Failure

        try:
            if isinstance(outcome, Failure):
                raise outcome.error
            write_result(outcome, outputs, self._record(), self.request.blend)
        except EdgefillError as error:
            say(f"error: {error}")
            self.failed.append(_failure(outputs.source, error))
            return
        for notice in outcome.notices:
            say(f"{outputs.source.name}: {notice}")
        self.results.append(_success(outcome, outputs))
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
            "backend": info.name,
            "runtime": info.runtime,
            "mask": spec.path.name if spec.path else request.mask,
            "seed": request.seed,
            "box": request.box and list(request.box),
            "blend": request.blend,
            "candidates": request.candidates,
            "settings": asdict(request.settings) if request.settings else {},
        }

    def _failures(self) -> str:
        return f"; {len(self.failed)} failed, see above" if self.failed else ""


def _success(result: Result, outputs: Outputs) -> dict[str, Any]:
    return {
        "input": str(outputs.source),
        "output": str(outputs.picture),
        **{name: str(path) for name, path in outputs.extras.items() if "candidate" not in name},
        "ended": result.ended,
        **({} if result.ended == "pass" else _of_search(result)),
        "seconds": round(result.seconds, 4),
        **_answers(result, outputs),
        "notices": list(result.notices),
    }


def _of_search(result: Result) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "loss": result.loss,
        "contextual": result.contextual,
        "perceptual": result.perceptual,
        "prior": result.prior,
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
