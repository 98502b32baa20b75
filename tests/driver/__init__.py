"""A GPU without one: a stub libcuda under the real pycuda and the real cuda.bindings.

The stub counts what is there (contexts, streams, events, allocations), what was called and what has run. Its
streams are lazy, its memory is the host's, and its kernels are those that ship, built for the host. Once
loaded it stays in the process, without a GPU until one is plugged in.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgefill.kernels import device

_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
CAPTURE_INVALIDATED = 901
_pycuda_modules: dict[str, Any] = {}  # imported once: Boost's types are registered for a process


class StubDriver:
    """One GPU that is plugged in. Raises CannotBuild where the stub is not there."""

    def __init__(self) -> None:
        self._library, self.kernels, self.pycuda = _loaded()
        self._functions: list[Any] = []  # that graphs may still call

    def plug(
        self,
        *,
        sm: int = 89,
        cuda: int = 12060,
        memory: int = 10**9,
        devices: int = 1,
        integrated: bool = False,
    ) -> StubDriver:
        """The GPU that is there from now on; everything is counted from 0."""
        kernels = str(self.kernels).encode()
        self._library.stub_plug(devices, sm, cuda, ctypes.c_size_t(memory), integrated, kernels)
        return self

    def unplug(self) -> None:
        """No GPU is there."""
        self.plug(devices=0)

    def fail(self, call: str, status: int) -> None:
        """``call`` answers ``status`` from now on; 0 lets it work again."""
        self._library.stub_fail(call.encode(), status)

    def count(self, what: str) -> int:
        """How often a call was made or a kernel ran; or how many streams, events, … there are now."""
        return int(self._library.stub_count(what.encode()))

    def clear(self) -> None:
        """Counts of calls begin at 0 again, and the log is empty."""
        self._library.stub_clear()

    @property
    def log(self) -> list[str]:
        """Calls, and kernels that ran, in order."""
        return self._library.stub_log().decode().splitlines()

    @property
    def wrong(self) -> list[str]:
        """What was done that no program should do."""
        return self._library.stub_wrong().decode().splitlines()

    def enqueue(self, stream: int, work: Callable[[], None], *, of_host: bool = False) -> None:
        """Puts ``work`` onto ``stream``, or into the graph that is captured there, as a library's kernel.

        Or as what it is, a function ``of_host``, which no loop may have.
        """
        function = _HOST_FUNCTION(lambda _: work())
        self._functions.append(function)
        enqueue = self._library.cuLaunchHostFunc if of_host else self._library.stub_enqueue
        status = enqueue(ctypes.c_void_p(stream), function, None)
        if status:
            raise RuntimeError(f"CUDA error {status}")


@contextmanager
def plugged_in() -> Iterator[StubDriver]:
    """A GPU that is there inside, and pycuda with it. What was done wrong is an error at the end."""
    driver = StubDriver().plug()
    sys.path.insert(0, str(driver.pycuda))
    sys.modules.update(_pycuda_modules)
    try:
        importlib.import_module("pycuda.driver")
        yield driver
        gc.collect()  # what an error's frames still hold
        device.release_devices()
        wrong = driver.wrong
    finally:
        device.release_devices()
        driver.unplug()
        sys.path.remove(str(driver.pycuda))
        for name in [name for name in sys.modules if name.split(".")[0] == "pycuda"]:
            _pycuda_modules[name] = sys.modules.pop(name)
    assert not wrong, "\n".join(wrong)


@cache
def _loaded() -> tuple[ctypes.CDLL, Path, Path]:
    """The stub, by the name under which everybody finds it, the kernels' library, and pycuda's folder."""
    from tests.driver.build import built

    folder, pycuda = built()
    library = ctypes.CDLL(str(folder / "libcuda.so.1"), ctypes.RTLD_GLOBAL)
    library.stub_count.restype = ctypes.c_long
    library.stub_log.restype = library.stub_wrong.restype = ctypes.c_char_p
    return library, folder / "kernels.so", pycuda


def memory(address: int, size: int) -> np.ndarray:
    """The bytes at ``address``, as a view."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def array(address: int, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """The array at ``address``, as a view."""
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    return memory(address, size).view(dtype).reshape(shape)


def floats(address: int, *shape: int) -> np.ndarray:
    """The float32 array at ``address``, as a view."""
    return array(address, shape, np.float32)
