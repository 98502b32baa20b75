"""The command line: one Typer app, one file per command."""

from edgefill.cli.app import main

__all__ = ["main"]
