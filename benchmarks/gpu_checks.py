"""A check: something that has to hold on a GPU before any of its timings mean something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from edgefill.kernels.device import Device


@dataclass(frozen=True)
class Check:
    """One thing that was proven, refuted, or could not be tried (``passed`` is None)."""

    name: str
    passed: bool | None
    measured: str


@contextmanager
def portions() -> Iterator[None]:
    """What is opened inside asks the host whether a row still runs, as where the driver has no loops."""
    with mock.patch.object(Device, "loops", False):
        yield


def checked(name: str, measure: Callable[[], tuple[bool, str]]) -> Check:
    """The outcome of ``measure``; an exception is a failure with its words, and the program goes on."""
    try:
        passed, measured = measure()
    except Exception as error:  # noqa: BLE001  whatever a driver or a library throws belongs into the report
        return Check(name, False, f"{type(error).__name__}: {error}")
    return Check(name, bool(passed), measured)
