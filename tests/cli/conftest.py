"""Running the command line in this process, which is fast; ``run_edgefill`` is for what needs its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgefill.cli import main
from tests.bundles import tiny_bundle


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def edgefill(monkeypatch, capsys):
    """Runs one command and returns its exit code, stdout and stderr."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["edgefill", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A bundle of a tiny grey model, 8×8."""
    path = tmp_path_factory.mktemp("model") / "tiny.edgefill"
    path.write_bytes(tiny_bundle())
    return path
