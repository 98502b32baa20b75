"""Bad terminals, closed streams, full disks, names that are no text: words and an exit code, no traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefill.cli.console import plain
from tests.bundles import tiny_bundle

_EDGEFILL = f"'{sys.executable}' -m edgefill"


@pytest.fixture
def place(tmp_path):
    """A folder with a picture and a model."""
    Image.fromarray(np.full((16, 16), 99, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "m.edgefill").write_bytes(tiny_bundle())
    return tmp_path


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        line.replace("edgefill ", f"{_EDGEFILL} ", 1),
        shell=True, cwd=folder, capture_output=True, env={**os.environ, **environment}, timeout=120,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done


def test_json_stays_json_where_stderr_is_closed(place):
    done = shell("edgefill complete a.png --out o --model m.edgefill --mask left --json 2>&-", place)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["results"]) == 1
    with Image.open(place / "o" / "a.png") as image:
        image.load()
    done = shell("edgefill complete none.png --out o --model m.edgefill --json 2>&-", place)
    assert done.returncode == 3
    assert len(json.loads(done.stdout)["failed"]) == 1


@pytest.mark.parametrize("words", ["models", "models --json", "--version"])
def test_full_disk_behind_stdout_is_an_error(words, place):
    assert shell(f"edgefill {words} >/dev/full", place).returncode == 6


def test_closed_stdout_is_an_error_where_data_was_asked_for(place):
    done = shell("edgefill complete a.png --out o --model m.edgefill --json >&-", place)
    assert done.returncode == 6
    assert b"closed" in done.stderr
    assert shell("edgefill complete a.png --out p --model m.edgefill <&- >&- 2>&-", place).returncode == 0


def test_reader_that_has_read_enough_is_no_error(place):
    done = shell("edgefill models --json | head -c 1", place)
    assert (done.stdout, done.stderr) == (b"{", b"")


def test_terminal_of_ascii_shows_what_it_can(place):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = shell("edgefill models", place, **ascii_only)
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_names_that_are_no_text_are_completed(place):
    (place / "a.png").rename(place / os.fsdecode(b"\xff\xfe.png"))
    done = shell("edgefill complete *.png --out o --model m.edgefill --json --strip", place)
    assert done.returncode == 0
    written = sorted(os.fsencode(path.name) for path in (place / "o").iterdir())
    assert written == [b"\xff\xfe.png", b"\xff\xfe.strip.png"]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "loop.png", "loop.png/a.png", "a.png/b.png"])
def test_name_that_leads_nowhere_is_said(name, place, edgefill, monkeypatch):
    monkeypatch.chdir(place)
    (place / "loop.png").symlink_to("loop.png")
    done = edgefill("complete", name, "--out", "o", "--model", "m.edgefill")
    assert done.code == 3
    assert "error: cannot read" in done.err
    done = edgefill("complete", "a.png", "--out", name, "--model", "m.edgefill")
    assert done.code == 6
    assert "error: cannot write" in done.err


def test_folder_that_is_gone_is_said_only_where_it_matters(place):
    (place / "gone").mkdir()
    command = f"rmdir {place}/gone; edgefill complete {place}/a.png --model {place}/m.edgefill"
    assert shell(f"{command} --out {place}/o", place / "gone").returncode == 0
    (place / "gone").mkdir()
    done = shell(f"{command} --out o", place / "gone")
    assert done.returncode == 6
    assert b"error: cannot write" in done.stderr


@pytest.mark.parametrize("words", ["complete a.png --out ''", "complete '' --out o", "sample --out ''"])
def test_empty_path_is_not_this_folder(words, place, edgefill, monkeypatch):
    monkeypatch.chdir(place)
    done = edgefill(*shlex.split(words))
    assert done.code == 2
    assert "empty" in done.err


def test_nothing_that_is_said_moves_a_terminal():
    assert plain("a\x1b[2Jb\rc\x07\u202e") == "a\\x1b[2Jb\\rc\\x07\\u202e"
    assert plain("größer\n\tschön ×") == "größer\n\tschön ×"
