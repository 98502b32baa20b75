"""The few calls of NVML that are made through ctypes; ``counts`` is whether the board counts its energy."""

from __future__ import annotations

from dataclasses import dataclass

_NOT_FOUND, _NOT_SUPPORTED = 6, 3


@dataclass
class FakeNvml:
    bus: bytes = b"0000:65:00.0"
    millijoules: int = 0
    megahertz: int = 1980
    counts: bool = True
    fails: int = 0  # what nvmlInit_v2 returns

    def nvmlInit_v2(self):
        return self.fails

    def nvmlDeviceGetHandleByPciBusId_v2(self, bus, handle):
        handle._obj.value = 42
        return 0 if bus == self.bus else _NOT_FOUND

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):
        assert handle.value == 42
        millijoules._obj.value = self.millijoules
        return 0 if self.counts else _NOT_SUPPORTED

    def nvmlDeviceGetClockInfo(self, handle, kind, megahertz):
        assert (handle.value, kind) == (42, 1)
        megahertz._obj.value = self.megahertz
        return 0 if self.megahertz else _NOT_SUPPORTED
