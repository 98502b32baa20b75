"""What every command shares with its user: stdout is data, stderr talks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from edgefill.errors import BackendUnavailable, InputError
from edgefill.limits import LIMITS, shown, whole_number

if TYPE_CHECKING:
    from rich.progress import Progress


def say(message: str) -> None:
    """One line for the person at the terminal, on stderr."""
    print(message, file=sys.stderr, flush=True)


def print_json(document: dict[str, Any]) -> None:
    """The one document that ``--json`` promises, on stdout. Raises ValueError for NaN and Inf."""
    print(json.dumps(document, indent=2, allow_nan=False), flush=True)


def require(extra: str, *modules: str) -> None:
    """Raises BackendUnavailable with the line that installs ``extra`` unless each of ``modules`` is there."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise BackendUnavailable(
                f'{module} cannot be imported ({error}); it comes with: pip install "edgefill[{extra}]"'
            ) from error


def number_option(limits: str, help: str, *names: str) -> Any:
    """A Typer option that takes what lies within these LIMITS."""
    least, most, _ = LIMITS[limits]
    return typer.Option(*names, min=least, max=most, help=help)


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
