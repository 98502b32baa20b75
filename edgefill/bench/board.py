"""What a board reports of itself while it works: the energy it has used, and the GPU's clock.

A Jetson's INA3221 monitors say how much the module draws now, and are read ten times a second; other boards
count their energy, which NVML reads. NVML comes with the driver and is asked through ctypes.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from edgefill.machine import pci_bus

_ROOT = Path("/")
_NVML = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_SM_CLOCK = 1  # NVML_CLOCK_SM
_SECONDS = 0.1  # between two readings of the rails
_WHOLE_MODULE = ("VDD_IN", "POM_5V_IN")  # a rail that holds the others
_MONITORS = "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*"
_GPU_CLOCKS = ("*.gpu", "*.ga10b", "*.gv11b")  # of JetPack 6, and 5 (Orin, Xavier)


class Board(Protocol):
    """What can be read; None is what the board does not report."""

    @property
    def source(self) -> str | None:
        """What the energy is read from, for people."""

    def joules(self) -> float | None:
        """Energy used since some moment in the past."""

    def clock_mhz(self) -> int | None:
        """The GPU's clock now."""


@contextmanager
def open_board(on_device: bool, root: Path = _ROOT) -> Iterator[Board]:
    """The board that this is; the energy of a GPU is of interest only where the work is done on it."""
    rails = _rails(root)
    if rails:
        with Rails(rails, root) as board:
            yield board
    else:
        yield (Nvml.open() if on_device else None) or Silent()


class Silent:
    """A board that reports nothing."""

    source = None

    def joules(self) -> None:
        return None

    def clock_mhz(self) -> None:
        return None


class Nvml:
    """A GPU that counts its energy, in NVML."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle
        self.source = None if self.joules() is None else "NVML, the GPU's board"

    @classmethod
    def open(cls) -> Nvml | None:
        """The first GPU that CUDA sees, or None."""
        bus, handle = pci_bus(), ctypes.c_void_p()
        try:
            library = ctypes.CDLL(_NVML)
        except OSError:
            return None
        if bus is None or library.nvmlInit_v2():
            return None
        failed = library.nvmlDeviceGetHandleByPciBusId_v2(bus.encode(), ctypes.byref(handle))
        return None if failed else cls(library, handle)

    def joules(self) -> float | None:
        """Since the driver was loaded; it counts from Volta on, and for no part of a shared GPU."""
        millijoules = ctypes.c_ulonglong()
        failed = self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(millijoules))
        return None if failed else millijoules.value / 1e3

    def clock_mhz(self) -> int | None:
        clock = ctypes.c_uint()
        failed = self._library.nvmlDeviceGetClockInfo(self._handle, _SM_CLOCK, ctypes.byref(clock))
        return None if failed else clock.value


class Rails:
    """The rails of a Jetson, whose power is added up over time in a thread of its own."""

    def __init__(
        self,
        rails: dict[str, tuple[Path, Path]],
        root: Path = _ROOT,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        whole = [name for name in rails if name in _WHOLE_MODULE]
        self._rails = [rails[name] for name in whole or rails]
        self.source = f"INA3221, {' + '.join(whole or rails)}"
        self._clocks = [each for name in _GPU_CLOCKS for each in root.glob(f"sys/class/devfreq/{name}")]
        self._clock, self._lock, self._stop = clock, threading.Lock(), threading.Event()
        self._joules, self._at, self._watts = 0.0, clock(), self._draw()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Rails:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._reader.join()

    def joules(self) -> float:
        """Since this object was made: the trapezoids between readings."""
        with self._lock:
            now, watts = self._clock(), self._draw()
            self._joules += (now - self._at) * (watts + self._watts) / 2
            self._at, self._watts = now, watts
            return self._joules

    def clock_mhz(self) -> int | None:
        hertz = _number(self._clocks[0] / "cur_freq") if self._clocks else None
        return None if hertz is None else round(hertz / 1e6)

    def _draw(self) -> float:
        """Watts now; a rail that does not answer counts as 0."""
        return sum((_number(volts) or 0) * (_number(amperes) or 0) / 1e6 for volts, amperes in self._rails)

    def _read(self) -> None:
        while not self._stop.wait(_SECONDS):
            self.joules()


def _rails(root: Path) -> dict[str, tuple[Path, Path]]:
    """Name → files with millivolts and milliamperes, of each rail that can be read."""
    rails = {}
    for label in sorted(root.glob(f"{_MONITORS}/in[123]_label")):
        channel = label.name[2]
        volts, amperes = label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input")
        if _number(volts) is not None and _number(amperes) is not None:
            rails[label.read_text().strip()] = volts, amperes
    return rails


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
