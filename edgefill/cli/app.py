"""The Typer app, and how an error becomes one message and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgefill import __version__
from edgefill.cli.console import print_json, say
from edgefill.errors import EdgefillError

app = typer.Typer(
    name="edgefill",
    help="Fills the missing parts of a picture with a GAN, on the machine that has the picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _edgefill(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Runs the command line; exit codes are those of ``edgefill.errors``, 2 for usage, 130 for Ctrl-C."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == 2:
            _report_json("usage", "the command line could not be understood; stderr says why", 2)
        raise
    except EdgefillError as error:
        if "--debug" in sys.argv:
            raise
        say(f"error: {error}")
        _report_json(type(error).__name__, str(error), error.exit_code)
        sys.exit(error.exit_code)


def _report_json(kind: str, message: str, exit_code: int) -> None:
    if "--json" in sys.argv:
        print_json({"error": {"kind": kind, "message": message, "exit_code": exit_code}})
