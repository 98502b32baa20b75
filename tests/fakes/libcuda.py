"""The few calls of the CUDA driver that are made through ctypes, answered as the driver answers them."""

from __future__ import annotations

from dataclasses import dataclass, field

_NO_DEVICE = 100
_NAMES = {100: b"CUDA_ERROR_NO_DEVICE", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}


@dataclass
class FakeCuda:
    """``gpus`` are (name, capability, bytes); ``fails`` is what cuInit returns."""

    gpus: list[tuple[str, tuple[int, int], int]] = field(default_factory=list)
    version: int = 12060
    fails: int = 0
    free: int = 0  # bytes; asking for them fails where it is 0
    contexts: int = 0  # that were retained and not released

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0

    def cuInit(self, flags):
        assert flags == 0
        return self.fails or (0 if self.gpus else _NO_DEVICE)

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.gpus)
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name, length, device):
        name.value = self.gpus[device][0].encode()[: length - 1]
        return 0

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = self.gpus[device][2]
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.gpus[device][1][{75: 0, 76: 1}[attribute]]
        return 0

    def cuDeviceGetPCIBusId(self, name, length, device):
        name.value = b"0000:%02x:00.0" % (0x65 + device)
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device):
        self.contexts += 1
        context._obj.value = 1
        return 0

    def cuCtxPushCurrent_v2(self, context):
        assert self.contexts
        return 0

    def cuMemGetInfo_v2(self, free, total):
        free._obj.value, total._obj.value = self.free, self.gpus[0][2]
        return 0 if self.free else 2

    def cuCtxPopCurrent_v2(self, context):
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device):
        self.contexts -= 1
        return 0

    def cuGetErrorName(self, status, name):
        name._obj.value = _NAMES.get(status)
        return 0 if status in _NAMES else 1
