"""How much memory a picture will need, estimated before it is loaded, and how much there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgefill.errors import InputError

BYTES_TO_READ = 16  # a pixel, at the worst moment of decoding
BYTES_TO_COMPLETE = 30  # a pixel of a large picture, with its strip, at the worst moment
_SMALL = 1_000_000  # pixels of which nobody asks

_ROOT = Path("/")


def check_memory(pixels: int, bytes_a_pixel: int, what: str) -> None:
    """Raises InputError where a picture of so many ``pixels`` needs more memory than there is."""
    if pixels < _SMALL:
        return
    needed, there = pixels * bytes_a_pixel, available_memory()
    if there is not None and needed > there:
        raise InputError(
            f"cannot read {what}: its {pixels:,} pixels need about {needed / 1e6:,.0f} MB of memory, and "
            f"{there / 1e6:,.0f} MB are left; scale it down, cut it, or use a larger machine"
        )


def too_large(source: object) -> InputError:
    """The error of a picture that memory ran out for."""
    return InputError(
        f"cannot complete {str(source)!r}: there is not enough memory for it; scale it down, cut it, or use "
        "a larger machine"
    )


@contextmanager
def enough_memory(source: object) -> Iterator[None]:
    """Turns a MemoryError inside into the InputError of ``source``, so that the other pictures go on."""
    try:
        yield
    except MemoryError as error:
        raise too_large(source) from error


def available_memory(root: Path = _ROOT) -> int | None:
    """Bytes that this process may still take: of the machine, of its container and of its own limit."""
    found = [_of_the_machine(root), _of_the_container(root), _of_the_process(root)]
    return min((each for each in found if each is not None), default=None)


def _of_the_machine(root: Path) -> int | None:
    available = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(available[1]) << 10 if available else None


def _of_the_container(root: Path) -> int | None:
    """What control groups (version 2, then 1) leave; pages of files, which are given back, do not count."""
    place = re.search(r"^0::(/.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    folder = root / "sys/fs/cgroup" / (place[1].strip("/") if place else "")
    left = []
    while folder.is_relative_to(root / "sys/fs/cgroup"):
        names = ("memory.max", "memory.current", r"^inactive_file (\d+)$")
        left.append(_left(folder, *names))
        folder = folder.parent
    one = root / "sys/fs/cgroup/memory"
    left.append(_left(one, "memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_inactive_file (\d+)$"))
    return min((each for each in left if each is not None), default=None)


def _left(folder: Path, limit: str, used: str, given_back: str) -> int | None:
    most, now = _text(folder / limit).strip(), _text(folder / used).strip()
    if not (most.isdecimal() and now.isdecimal()):
        return None
    cached = re.search(given_back, _text(folder / "memory.stat"), re.MULTILINE)
    return max(0, int(most) - int(now) + (int(cached[1]) if cached else 0))


def _of_the_process(root: Path) -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _text(root / "proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not size:
        return None
    return max(0, limit - int(size[0]) * resource.getpagesize())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
