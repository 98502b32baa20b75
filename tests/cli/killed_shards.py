"""All shards of a run at once, each killed several times and begun again; ``python -m`` with a folder.

Each process writes down what it puts in its place, and kills itself before a file event that chance chooses.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import edgefill.cli
import edgefill.completion
import edgefill.methods.smooth

SHARDS, KILLS = 3, 2
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir")
_AT_MOST = 60  # such events after a process has opened its first picture: of a few pictures


def _dies_at(event_number: int, pictures: Path) -> None:
    """This process kills itself before that of its file events, counted from where it opens a picture."""
    left = iter(range(event_number))
    begun = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal begun
        begun = begun or (event == "open" and str(arguments[0]).startswith(f"{pictures}{os.sep}"))
        if begun and event in _EVENTS and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _notes(log: int, shard: int) -> None:
    """Every file that this process renames is noted first, in one write."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename":
            os.write(log, f"{shard} {Path(str(arguments[1])).name}\n".encode())

    sys.addaudithook(watch)


def _begun(folder: Path, shard: int, log: int, dies_at: int) -> int:
    """The id of a process that completes that share of ``folder / "in"``."""
    process = os.fork()
    if process:
        return process
    _notes(log, shard)
    if dies_at:
        _dies_at(dies_at, folder / "in")
    sys.argv = ["edgefill", "complete", str(folder / "in"), "--out", str(folder / "out"), "--skip-existing"]
    sys.argv += ["--model", "smooth", "--threads", "1", "--shard", f"{shard}/{SHARDS}"]
    try:
        edgefill.cli.main()
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    os._exit(0)


def main(folder: Path) -> None:
    """Prints how each process of a round ended and how many pictures there were then, a line for each."""
    chance = random.Random(0)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for round_number in range(KILLS + 1):
        dying = [chance.randrange(1, _AT_MOST) if round_number < KILLS else 0 for _ in range(SHARDS)]
        processes = [_begun(folder, number, log, at) for number, at in enumerate(dying, start=1)]
        ends = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        print(*ends, len(list((folder / "out").rglob("*.png"))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
