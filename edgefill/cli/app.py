"""The Typer app, and how an error becomes one message and an exit code."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from edgefill import __version__
from edgefill.cli.console import flush_stdout, open_standard_streams, print_json, say, show
from edgefill.errors import EdgefillError

app = typer.Typer(
    name="edgefill",
    help="Fills the missing parts of a picture with a GAN, on the machine that has the picture.",
    no_args_is_help=True,
    add_completion=True,  # --install-completion, for bash, zsh, fish and PowerShell
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _edgefill(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        show(__version__)
        raise typer.Exit


def main() -> None:
    """Runs the command line; exit codes are those of ``edgefill.errors``, 2 for usage, 130 for Ctrl-C."""
    open_standard_streams()
    try:
        app()
    except SystemExit as stop:
        if stop.code == 2:
            _report_json("usage", "the command line could not be understood; stderr says why", 2)
        raise
    except Exception as error:  # whatever it is, a user is told in words
        if "--debug" in sys.argv:
            raise
        message, exit_code = _in_words(error)
        say(f"error: {message}")
        _report_json(type(error).__name__, message, exit_code)
        sys.exit(exit_code)
    finally:
        flush_stdout()


def _in_words(error: Exception) -> tuple[str, int]:
    """What a user is told of ``error``, and the exit code."""
    if isinstance(error, EdgefillError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error or 'none was left'}; ask for less at once", 1
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError):
        return f"the system refused: {words}; check the folder that this runs in, and the names", 1
    return f"{type(error).__name__}: {words}; this should not happen: `edgefill --debug …` shows where", 1


def _report_json(kind: str, message: str, exit_code: int) -> None:
    with suppress(EdgefillError):
        if "--json" in sys.argv:
            print_json({"error": {"kind": kind, "message": message, "exit_code": exit_code}})
