"""What every command shares with its user: stdout is data, stderr talks."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgefill.errors import BackendUnavailable, InputError, OutputError
from edgefill.extras import install_line
from edgefill.limits import LIMITS, shown, whole_number

if TYPE_CHECKING:
    from rich.progress import Progress


def open_standard_streams() -> None:
    """Makes stdin, stdout and stderr usable whatever the shell left of them.

    One that is closed leads nowhere: else the next file that is opened would get its number, and what is said
    would end up in it. What a terminal's encoding lacks is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """``text`` without what a terminal would act on: control characters become escapes, lines stay."""
    return "".join(
        each if each.isprintable() or each in "\n\t" or 0xDC80 <= ord(each) <= 0xDCFF
        else each.encode("unicode_escape").decode()
        for each in text
    )  # fmt: skip


def say(message: str) -> None:
    """Some lines for the person at the terminal, on stderr."""
    with suppress(OSError, ValueError):  # nobody listens any more
        print(plain(message), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Some lines of data for people, on stdout. Raises OutputError."""
    _write(plain(text) + "\n")


def print_json(document: dict[str, Any]) -> None:
    """The one document that ``--json`` promises, on stdout. Raises OutputError, and ValueError for NaN."""
    _write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def _write(text: str) -> None:
    if sys.stdout is None:
        raise OutputError("cannot write to stdout: it is closed; expected a terminal, a pipe or a file")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _leave_stdout()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(128 + 13) from None  # who reads has read enough, as with head
        raise OutputError(f"cannot write to stdout: {error.strerror}; send it elsewhere") from error


def print_bytes(content: bytes) -> None:
    """A file on stdout. Raises OutputError, also where that is a terminal."""
    if sys.stdout is None or sys.stdout.isatty():
        raise OutputError("cannot write a picture to a terminal; send it to a file or a pipe: … - > out.png")
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        _leave_stdout()
        raise OutputError(f"cannot write to stdout: {error.strerror}; send it elsewhere") from error


def read_stdin() -> bytes:
    """All of stdin. Raises InputError where there is nothing, or more than a picture has."""
    from edgefill.pictures.images import MAX_BYTES

    content = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(MAX_BYTES + 1)
    if not content:
        raise InputError("there is no picture on stdin; expected one, as in: edgefill complete - < photo.jpg")
    if len(content) > MAX_BYTES:
        raise InputError(f"there are more than {MAX_BYTES:,} bytes on stdin; expected one picture")
    return content


def flush_stdout() -> None:
    """Whatever was written to stdout is on its way, or nowhere: else Python complains of it at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _leave_stdout()


def _leave_stdout() -> None:
    """What is still buffered goes nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def require(extra: str, *modules: str) -> None:
    """Raises BackendUnavailable with the line that installs ``extra`` unless each of ``modules`` is there."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise BackendUnavailable(
                f"{module} cannot be imported ({error}); it comes with: {install_line(extra)}"
            ) from error


def number_option(limits: str, help: str, *names: str) -> Any:
    """A Typer option that takes what lies within these LIMITS."""
    least, most, _ = LIMITS[limits]
    return typer.Option(*names, min=least, max=most, help=help)


def a_path(text: str) -> Path:
    """``text`` as a path; an empty one, such as that of a variable that is not set, would be this folder."""
    if not text:
        raise typer.BadParameter("it is empty; expected a path, such as . for this folder")
    return Path(text)


def path_option(help: str, *names: str, **options: Any) -> Any:
    """A Typer option that takes a path."""
    return typer.Option(*names, parser=a_path, metavar="PATH", help=help, **options)


def numbers(option: str, text: str, limits: str = "batch") -> list[int]:
    """The numbers of a list such as "1,8,64", each once, ascending. Raises InputError."""
    found = {whole_number(part.strip()) for part in text.split(",")}
    if not all(number is not None and LIMITS[limits].hold(number) for number in found):
        raise InputError(
            f"{option} is {shown(text)!r}; expected whole numbers from {LIMITS[limits]}, such as 1,8,64"
        )
    return sorted(number for number in found if number is not None)


@contextmanager
def progress_bar(*, enabled: bool = True) -> Iterator[Progress]:
    """A bar with count and time left on stderr where that is a terminal; silent in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as progress:
        yield progress
