"""pycuda.driver and cuda.bindings.driver without a GPU.

Device memory is host memory, so that host builds of the kernels run on it. A stream is lazy: what is enqueued
runs when somebody waits for it, as late as a GPU might, so that a result that is read too early, or a buffer
that is overwritten before its copy has run, is wrong here too. Calls are recorded by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np

Kernel = Callable[[str, Any, int, int], None]
_WITH_RESULT = ("cuStreamEndCapture", "cuGraphInstantiate")


class Error(Exception):
    """pycuda.driver.Error."""


class OutOfMemory(Error):
    """pycuda.driver.MemoryError."""


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class FakeCuda:
    """One GPU. ``kernel(name, struct, grid, block)`` does what a launch would."""

    def __init__(
        self,
        kernel: Kernel = lambda *_: None,
        *,
        sm: tuple[int, int] = (8, 9),
        cuda: int = 12060,
        memory: int = 10**9,
        devices: int = 1,
    ) -> None:
        self.kernel, self.sm, self.cuda, self.devices = kernel, sm, cuda, devices
        self.free, self.total = memory, memory
        self.calls: list[str] = []
        self.contexts = 0  # on the stack
        self.loaded: list[bytes] = []
        self.failing: dict[str, Any] = {}  # name of a call → what it answers instead
        self.pending: list[Callable[[], None]] = []
        self.capturing: list[Callable[[], None]] | None = None
        self.allocations: dict[int, np.ndarray] = {}

    def install(self, monkeypatch) -> FakeCuda:
        """Puts both modules where an import finds them."""
        driver, bindings = self.pycuda_driver(), self.bindings()
        monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver))
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", bindings)
        return self

    def enqueue(self, name: str, work: Callable[[], None]) -> None:
        """What every asynchronous call does: into the graph that is captured, or onto the stream."""
        assert self.contexts, f"{name} without a current context"
        self.calls.append(name)
        (self.pending if self.capturing is None else self.capturing).append(work)

    def wait(self) -> None:
        """Runs what was enqueued."""
        assert self.capturing is None, "a wait within a capture breaks it"
        while self.pending:
            self.pending.pop(0)()

    def count(self, name: str) -> int:
        """How often ``name`` was called."""
        return self.calls.count(name)

    def pycuda_driver(self) -> Any:
        return SimpleNamespace(
            init=lambda: self._answer("init", None),
            get_driver_version=lambda: self.cuda,
            Device=lambda ordinal: _Device(self, ordinal),
            Context=SimpleNamespace(pop=self._pop),
            Stream=lambda flags: _Stream(self, flags),
            Event=lambda: _Event(self),
            mem_alloc=self._allocate,
            mem_get_info=lambda: (self.free, self.total),
            pagelocked_empty=lambda size, dtype: np.full(size, 0xA5, dtype),
            memcpy_htod_async=self._upload,
            memcpy_dtoh_async=self._download,
            module_from_buffer=self._module,
            Error=Error,
            MemoryError=OutOfMemory,
        )

    def bindings(self) -> Any:
        return SimpleNamespace(
            CUresult=CUresult,
            CUstream=lambda handle: handle,
            CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1),
            cuStreamBeginCapture=lambda stream, mode: self._binding("cuStreamBeginCapture", self._begin),
            cuStreamEndCapture=lambda stream: self._binding("cuStreamEndCapture", self._end),
            cuGraphInstantiate=lambda graph, flags: self._binding("cuGraphInstantiate", lambda: graph),
            cuGraphDestroy=lambda graph: self._binding("cuGraphDestroy"),
            cuGraphExecDestroy=lambda graph: self._binding("cuGraphExecDestroy"),
            cuGraphLaunch=lambda graph, stream: self._binding("cuGraphLaunch", lambda: self._launch(graph)),
        )

    def _answer(self, name: str, value: Any) -> Any:
        self.calls.append(name)
        if name in self.failing:
            raise Error(self.failing[name])
        return value

    def _binding(self, name: str, work: Callable[[], Any] = lambda: None) -> tuple[Any, ...]:
        """The call's error, and its result where it has one."""
        self.calls.append(name)
        if name in self.failing:
            self.capturing = None
            return (self.failing[name], None)[: 1 + (name in _WITH_RESULT)]
        value = work()
        return (CUresult.CUDA_SUCCESS, value)[: 1 + (name in _WITH_RESULT)]

    def _begin(self) -> None:
        self.capturing = []

    def _end(self) -> list[Callable[[], None]]:
        captured, self.capturing = self.capturing, None
        return captured

    def _launch(self, graph: list[Callable[[], None]]) -> None:
        self.pending.extend(graph)

    def _pop(self) -> None:
        self.contexts -= 1

    def _allocate(self, size: int) -> _Allocation:
        if size > self.free:
            raise OutOfMemory("cuMemAlloc failed: out of memory")
        self.free -= size
        return _Allocation(self, size)

    def _upload(self, address: int, source: np.ndarray, stream: _Stream) -> None:
        there, here = memory(address, source.nbytes), source.view(np.uint8).ravel()
        self.enqueue("upload", lambda: np.copyto(there, here))

    def _download(self, target: np.ndarray, address: int, stream: _Stream) -> None:
        there, here = memory(address, target.nbytes), target.view(np.uint8).ravel()
        self.enqueue("download", lambda: np.copyto(here, there))

    def _module(self, image: bytes) -> Any:
        self._answer("module_from_buffer", None)
        self.loaded.append(image)
        return SimpleNamespace(get_function=lambda name: _Function(self, name))


class _Allocation:
    def __init__(self, cuda: FakeCuda, size: int) -> None:
        self._cuda, self._size = cuda, size
        array = np.full(size + 256, 0xA5, np.uint8)
        self._address = -(-array.ctypes.data // 256) * 256
        cuda.allocations[self._address] = array

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        del self._cuda.allocations[self._address]
        self._cuda.free += self._size


class _Device:
    def __init__(self, cuda: FakeCuda, ordinal: int) -> None:
        self._cuda = cuda
        if ordinal >= cuda.devices:
            raise Error("cuDeviceGet failed: invalid device ordinal")

    def retain_primary_context(self) -> Any:
        return SimpleNamespace(push=self._push)

    def compute_capability(self) -> tuple[int, int]:
        return self._cuda.sm

    def name(self) -> str:
        return "Fake GPU"

    def _push(self) -> None:
        self._cuda.contexts += 1


class _Stream:
    handle = 0x5EA

    def __init__(self, cuda: FakeCuda, flags: int) -> None:
        assert flags == 1, "a stream that does not wait for the default one"
        self._cuda = cuda

    def synchronize(self) -> None:
        self._cuda.calls.append("synchronize")
        self._cuda.wait()


class _Event:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self._place = cuda, -1

    def record(self, stream: _Stream) -> _Event:
        self._cuda.enqueue("record", self._reached)
        self._done = False
        return self

    def synchronize(self) -> None:
        """Runs the stream as far as this event and no further."""
        self._cuda.calls.append("wait for event")
        while not self._done:
            self._cuda.pending.pop(0)()

    def time_till(self, other: _Event) -> float:
        assert self._done and other._done, "not reached yet"
        return 1.0

    def _reached(self) -> None:
        self._done = True


class _Function:
    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self._cuda, self._name = cuda, name

    def __call__(self, struct: np.void, *, grid: Any, block: Any, stream: _Stream) -> None:
        assert isinstance(struct, np.void), "pycuda takes a struct by value as numpy.void"
        copy = struct.copy()
        self._cuda.enqueue(self._name, lambda: self._cuda.kernel(self._name, copy, grid[0], block[0]))


def memory(address: int, size: int) -> np.ndarray:
    """The bytes at ``address``, as a view."""
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def array(address: int, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """The array at ``address``, as a view."""
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    return memory(address, size).view(dtype).reshape(shape)


def floats(address: int, *shape: int) -> np.ndarray:
    """The float32 array at ``address``, as a view."""
    return array(address, shape, np.float32)
