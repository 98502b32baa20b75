"""The command line: one Typer app, one file per command."""

from edgefill.cli import complete, export, models, sample, train
from edgefill.cli.app import main

__all__ = ["complete", "export", "main", "models", "sample", "train"]
