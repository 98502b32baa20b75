"""The command line: one Typer app, one file per command."""

from edgefill.cli import (
    bench,
    build,
    complete,
    doctor,
    export,
    import_,
    models,
    sample,
    serve,
    sign,
    train,
    verify,
)
from edgefill.cli.app import main

__all__ = [
    "bench",
    "build",
    "complete",
    "doctor",
    "export",
    "import_",
    "main",
    "models",
    "sample",
    "serve",
    "sign",
    "train",
    "verify",
]
