"""A file is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from edgefill import files
from edgefill.errors import OutputError
from edgefill.files import (
    atomic_writer,
    check_writable,
    remove_stale_temporaries,
    write_atomically,
    write_folder,
)

_UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def _can(command: list[str]) -> bool:
    return (
        bool(shutil.which(command[0]))
        and not subprocess.run([*command, "true"], capture_output=True).returncode
    )


NEW_PIDS = _UNSHARE if _can(_UNSHARE) else []


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
    for path in (tmp_path / ("x" * 300), tmp_path / ("x" * 300) / "a.png"):
        with pytest.raises(OutputError, match=r"cannot write x{40}…: a name of 300 characters is too long"):
            write_atomically(path, b"")


def test_parent_that_is_a_file_is_explained(tmp_path):
    write_atomically(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="choose a folder"):
        write_atomically(tmp_path / "file" / "below", b"")


HOLDER = """
import sys, time
from edgefill.files import atomic_writer
with atomic_writer(sys.argv[1]) as file:
    print("open", flush=True)
    sys.stdin.readline()
"""


def holder(path, *wrapper) -> subprocess.Popen:
    """A process in the middle of writing ``path``."""
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"open\n"
    return process


def test_temporaries_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    dead, living = holder(tmp_path / "a"), holder(tmp_path / "b")
    dead.kill()
    dead.communicate()
    (tmp_path / ".not-ours.tmp").touch()
    assert len(names(tmp_path)) == 3
    remove_stale_temporaries(tmp_path)
    assert len(names(tmp_path)) == 2
    living.communicate(b"\n")
    assert names(tmp_path) == [".not-ours.tmp", "b"]


@pytest.mark.parametrize("is_gone", [False, True], ids=["held", "removed"])
def test_writer_takes_another_temporary_where_one_was_taken_for_stale_before_its_lock(
    tmp_path, monkeypatch, is_gone
):
    locked, taken = files._locked, []

    def late(descriptor):
        if not taken:
            (temporary,) = tmp_path.iterdir()
            taken.append((temporary, temporary.open("rb")))
            locked(taken[0][1].fileno())
            if is_gone:
                temporary.unlink()
                taken[0][1].close()
        return locked(descriptor)

    monkeypatch.setattr(files, "_locked", late)
    with atomic_writer(tmp_path / "a") as file:
        file.write(b"whole")
        ((temporary, sweeper),) = taken
        temporary.unlink(missing_ok=is_gone)
        sweeper.close()
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert names(tmp_path) == ["a"]


def test_nobody_takes_a_temporary_for_stale_that_is_about_to_get_its_name(tmp_path, monkeypatch):
    rename = files.Path.replace

    def late(temporary, path):
        remove_stale_temporaries(tmp_path)  # as another process may at any moment
        return rename(temporary, path)

    monkeypatch.setattr(files.Path, "replace", late)
    write_atomically(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.skipif(not NEW_PIDS, reason="needs a user who may make a pid namespace (unshare)")
def test_writers_in_two_pid_namespaces_leave_each_other_alone(tmp_path):
    writers = [holder(tmp_path / name, *NEW_PIDS) for name in ("a", "b")]
    remove_stale_temporaries(tmp_path)
    write_atomically(tmp_path / "c", b"")
    for writer in writers:
        writer.communicate(b"\n")
        assert writer.returncode == 0
    assert names(tmp_path) == ["a", "b", "c"]


def test_folder_is_listed_once_in_a_process_however_many_files_are_written(tmp_path, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(os, "listdir", None)
    for number in range(5):
        write_atomically(tmp_path / str(number), b"")
    assert listed == [tmp_path]


def test_temporary_that_cannot_be_removed_stops_no_write(tmp_path):
    (tmp_path / ".edgefill-0123456789abcdef.tmp").mkdir()
    (tmp_path / f".photo.png.{os.getpid()}.tmp").mkdir()
    write_atomically(tmp_path / "photo.png", b"whole")
    assert (tmp_path / "photo.png").read_bytes() == b"whole"


def test_name_as_long_as_fits_is_written(tmp_path):
    write_atomically(tmp_path / ("x" * 255), b"whole")


@pytest.mark.parametrize("place", ["/proc/none/a.png", "/dev/full", "file/below/a.png"])
def test_place_that_cannot_be_written_is_found_out_beforehand(place, tmp_path):
    write_atomically(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="cannot write"):
        check_writable([tmp_path / place])
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / place, b"")
    assert names(tmp_path) == ["file"]


def test_checking_a_place_leaves_nothing(tmp_path):
    check_writable([tmp_path / "new" / "folder" / "a.png"])
    assert names(tmp_path) == []


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


def test_writers_of_one_folder_wait_for_each_other(tmp_path):
    def contents(content):
        return {name: content for name in ("a", "b")}

    class Slow(dict):
        """Halfway through the first writer's files the second one begins."""

        def items(self):
            for each in super().items():
                yield each
                if second.ident is None:
                    second.start()
                    second.join(0.2)  # it waits, and would be done by then

    second = threading.Thread(target=write_folder, args=(tmp_path / "m", contents(b"second")))
    write_folder(tmp_path / "m", Slow(contents(b"first")))
    second.join()
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == contents(b"second")
    assert names(tmp_path) == ["m"]
