"""One run of ``edgefill complete``: pictures are completed, written as they come, and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgefill.cli.console import print_bytes, print_json, progress_bar, read_stdin, say
from edgefill.cli.documents import of_failure, of_result, of_run
from edgefill.cli.outputs import SHEET_NAME, Outputs, Sheet, encoded, write_result
from edgefill.cli.planning import Plan
from edgefill.cli.stopping import Interrupted, interrupts_held, interrupts_raised
from edgefill.cli.writer import Writer
from edgefill.errors import EdgefillError
from edgefill.memory import too_large

if TYPE_CHECKING:
    from edgefill.completion import Completer, Failure, Request, Result


@dataclass
class Run:
    """What happened to the pictures of one command."""

    request: Request
    plan: Plan
    sheet: Sheet | None = None
    quality: int | None = None  # of JPEG
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    interrupted: int = 0  # the signal
    completer: Completer | None = None  # once there was something to complete

    def complete(self, completer: Completer, batch: int) -> None:
        """Completes the pictures of the plan; another thread writes each as soon as it is there."""
        self.completer = completer
        sources = [outputs.source for outputs in self.plan.pictures]
        with progress_bar() as bar, Writer() as writer, interrupts_raised():
            task = bar.add_task("completing", total=len(sources), note="")
            outcomes = completer.complete_many(
                sources, self.request, batch=batch, progress=lambda done: bar.advance(task, done)
            )
            try:
                for number, (outputs, outcome) in enumerate(
                    zip(self.plan.pictures, outcomes, strict=True), start=1
                ):
                    with interrupts_held():
                        writer.put(partial(self._take, outcome, outputs))
                    bar.update(task, completed=max(number, bar.tasks[task].completed))
            except Interrupted as interruption:
                self.interrupted = interruption.signal

    def complete_piped(self, completer: Completer, kind: str) -> None:
        """Completes the picture on stdin and writes it to stdout. Raises EdgefillError."""
        from edgefill.completion import Failure

        self.completer = completer
        (outcome,) = completer.complete_many([read_stdin()], self.request)
        if isinstance(outcome, Failure):
            raise outcome.error
        for notice in outcome.notices:
            say(notice)
        print_bytes(encoded(outcome, kind, self._record(), self.quality))

    def finish(self, folder: Path, *, json: bool) -> None:
        """Writes the sheet to ``folder``, says what happened, and ends the command with its exit code."""
        total, share = len(self.plan.pictures), self.plan.share
        shard = {} if share.is_whole else {"shard": str(share), "others": self.plan.others}
        document = {**self._record(), **shard, "results": self.results, "failed": self.failed}
        document |= self._saved_sheet(folder / SHEET_NAME)
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
        if self.plan.skipped:
            document["skipped"] = self.plan.skipped
            say(f"left out {self.plan.skipped} pictures whose outputs are there")
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
            self.failed.append(of_failure(path, error))
            return {}
        if self.sheet.left_out:
            say(f"{path.name} shows the first pictures only; {self.sheet.left_out} are left out")
        return {"sheet": str(path)}

    def _take(self, outcome: Result | Failure, outputs: Outputs) -> None:
        from edgefill.completion import Failure

        try:
            if isinstance(outcome, Failure):
                raise outcome.error
            told = write_result(outcome, outputs, self._record(), self.request.blend, self.quality)
        except (EdgefillError, MemoryError) as failure:
            error = failure if isinstance(failure, EdgefillError) else too_large(outputs.source)
            say(f"error: {error}")
            self.failed.append(of_failure(outputs.source, error))
            return
        notices = [*outcome.notices, *told]
        for notice in notices:
            say(f"{outputs.source.name}: {notice}")
        self.results.append({**of_result(outcome, outputs), "notices": notices})
        if self.sheet:
            self.sheet.add(outcome)

    def _record(self) -> dict[str, Any]:
        return of_run(self.completer, self.request)

    def _failures(self) -> str:
        return f"; {len(self.failed)} failed, see above" if self.failed else ""
