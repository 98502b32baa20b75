"""A file is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from edgefill.errors import OutputError
from edgefill.files import atomic_writer, remove_stale_temporaries, write_atomically


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_content_arrives_and_parents_are_made(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "text.txt", "größer")
    assert (tmp_path / "a" / "b" / "text.txt").read_bytes() == "größer".encode()


def test_old_file_stays_when_the_block_fails(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(ZeroDivisionError), atomic_writer(path) as file:
        file.write(b"half of the new")
        _ = 1 / 0
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_full_disk_names_the_free_space(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OutputError, match="MB free"):
            write_atomically(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_name_that_is_too_long_is_explained(tmp_path):
    with pytest.raises(OutputError, match="too long"):
        write_atomically(tmp_path / ("x" * 300), b"")


def test_parent_that_is_a_file_is_explained(tmp_path):
    write_atomically(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="choose a folder"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_temporaries_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".photo.png.{gone.pid}.tmp").touch()
    (tmp_path / f".photo.png.{os.getppid()}.tmp").touch()
    (tmp_path / ".not-ours.tmp").touch()
    remove_stale_temporaries(tmp_path)
    assert names(tmp_path) == [".not-ours.tmp", f".photo.png.{os.getppid()}.tmp"]


WRITER = """
import sys
from pathlib import Path
from edgefill.files import write_atomically
for round in range(10**9):
    write_atomically(Path(sys.argv[1]), bytes([round % 256]) * 300_000)
    print(round, flush=True)
"""


def test_kill_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    for delay in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        for _ in range(delay + 1):
            writer.stdout.readline()
        writer.kill()
        writer.communicate()
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
    write_atomically(path, b"last")
    assert names(tmp_path) == ["file"]
