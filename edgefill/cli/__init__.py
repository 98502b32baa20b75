"""The command line: one Typer app, one file per command."""

from edgefill.cli import complete, doctor, export, models, sample, train
from edgefill.cli.app import main

__all__ = ["complete", "doctor", "export", "main", "models", "sample", "train"]
