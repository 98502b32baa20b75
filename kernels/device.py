"""A CUDA device through pycuda: its primary context, one stream, memory and graphs.

The only file that imports pycuda and cuda.bindings. The context is the primary one, which PyTorch, TensorRT
and ONNX Runtime use as well; it is current only inside ``with device:``, and one thread at a time is there.
Everything is enqueued on one non-blocking stream, whose handle the others are given, since pycuda cannot wrap
theirs. There is one ``Device`` for each GPU and process, from ``open_device``: pycuda gives a primary context
back only when it is told to, so that is done once, at exit.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from edgefill import machine
from edgefill.errors import BackendUnavailable, EdgefillError, EngineError, InputError
from edgefill.extras import install_line
from edgefill.kernels.forms import LOOP, form_for, shipped

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda has no name for
_ASSIGN_DEFAULT = 1  # CU_GRAPH_COND_ASSIGN_DEFAULT: a handle has its first value again at each launch
OLDEST_CUDA = (12, 0)  # of the driver: what the shipped kernels were compiled for
_OLDEST_CUDA_WITH_LOOPS = (12, 4)

_open: dict[int, Device] = {}
_opening = threading.Lock()


def open_device(ordinal: int = 0) -> Device:
    """The GPU ``ordinal``, the same each time. Raises BackendUnavailable that says what is missing."""
    with _opening:
        if ordinal not in _open:
            _open[ordinal] = Device(ordinal)
        return _open[ordinal]


@atexit.register
def release_devices() -> None:
    """Gives the context of every device back; what was opened on it is of no use then."""
    with _opening:
        while _open:
            _open.popitem()[1].release()


class Device:
    """One GPU, which ``open_device`` opens."""

    def __init__(self, ordinal: int) -> None:
        self._cuda, self._lock = _pycuda(), threading.RLock()
        self._events: dict[str, Any] = {}
        try:
            self._cuda.init()
            device = self._cuda.Device(ordinal)
            self.integrated = bool(device.get_attribute(self._cuda.device_attribute.INTEGRATED))
            self._describe(device)
            if self.integrated:
                _wait_spinning(ordinal)
            self._context = device.retain_primary_context()
        except self._cuda.Error as error:
            raise BackendUnavailable(
                f"the GPU {ordinal} cannot be used: {error}; expected an NVIDIA GPU with a driver that runs; "
                "`edgefill doctor` says what is here"
            ) from error
        with self:
            self._stream = self._cuda.Stream(_NON_BLOCKING)

    def _describe(self, device: Any) -> None:
        """What it is called and can run. Raises BackendUnavailable where its driver is too old."""
        version = int(self._cuda.get_driver_version())
        self.cuda_version = version // 1000, version % 1000 // 10  # that the driver supports
        found, oldest = (".".join(map(str, each)) for each in (self.cuda_version, OLDEST_CUDA))
        major, minor = device.compute_capability()
        self.name, self.sm = str(device.name()), 10 * int(major) + int(minor)
        if self.cuda_version < OLDEST_CUDA:
            raise BackendUnavailable(
                f"the driver of {self.name} supports CUDA {found}; the kernels need {oldest} or later: "
                "install a newer NVIDIA driver (525 or later)"
            )

    def __enter__(self) -> Device:
        self._lock.acquire()
        try:
            self._context.push()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self._cuda.Context.pop()
        finally:
            self._lock.release()
        if isinstance(error, self._cuda.Error):
            raise EngineError(
                f"{self.name} reports: {error}; the search cannot go on. `edgefill doctor` says what is "
                "here; --backend cpu works without a GPU"
            ) from error

    def release(self) -> None:
        """Gives back what it holds, the stream before the context, which must be current for that."""
        with self._lock:
            self._context.push()
            try:
                self._events.clear()
                self._stream.synchronize()
                del self._stream
            finally:
                self._context.detach()

    @property
    def loops(self) -> bool:
        """Whether its driver runs graphs that loop."""
        return self.cuda_version >= _OLDEST_CUDA_WITH_LOOPS

    @property
    def stream_handle(self) -> int:
        """The CUstream, for libraries that enqueue on it."""
        return int(self._stream.handle)

    def free_memory(self) -> int:
        """Bytes that can still be allocated; where memory is shared with the host, all that it could free."""
        free, _ = self._cuda.mem_get_info()
        reclaimable = machine.available_memory() if self.integrated else None
        return max(int(free), reclaimable or 0)

    def total_memory(self) -> int:
        """Bytes of the device, used or not."""
        _, total = self._cuda.mem_get_info()
        return int(total)

    def allocate(self, size: int) -> Any:
        """``size`` bytes on the device; int() of them is the address. Raises InputError for too many."""
        try:
            return self._cuda.mem_alloc(size)
        except self._cuda.MemoryError as error:
            raise InputError(
                f"{self.name} has no {size / 1e6:.0f} MB free ({self.free_memory() / 1e6:.0f} MB are); "
                "use a smaller --batch, or close what else runs there"
            ) from error

    def pinned(self, size: int) -> np.ndarray:
        """``size`` bytes of host memory, uint8, that copies to and from the device can run beside."""
        memory: np.ndarray = self._cuda.pagelocked_empty(size, np.uint8)
        return memory

    def upload(self, address: int, source: np.ndarray) -> None:
        """Enqueues a copy of the pinned ``source`` to ``address``."""
        self._cuda.memcpy_htod_async(address, source, self._stream)

    def download(self, target: np.ndarray, address: int) -> None:
        """Enqueues a copy from ``address`` to the pinned ``target``."""
        self._cuda.memcpy_dtoh_async(target, address, self._stream)

    def clear(self, address: int, size: int) -> None:
        """Enqueues zeros for the ``size`` bytes at ``address``."""
        self._cuda.memset_d8_async(address, 0, size, self._stream)

    def record(self, name: str) -> Any:
        """pycuda's event ``name`` at this place of the stream: it has ``synchronize`` and ``time_till`` (ms).

        It is the same event each time: whoever records it again has done with it.
        """
        if name not in self._events:
            self._events[name] = self._cuda.Event()
        return self._events[name].record(self._stream)

    def synchronize(self) -> None:
        """Waits until everything enqueued has run."""
        self._stream.synchronize()

    def load_kernels(self) -> Any:
        """The module of the shipped kernels, in the form that this GPU runs."""
        name, image = form_for(self.sm)
        try:
            return self._load(image)
        except self._cuda.Error as error:
            raise BackendUnavailable(
                f"{self.name} (sm_{self.sm}) cannot load the kernels ({name}): {error}; install a newer "
                "NVIDIA driver; `edgefill doctor` says which is here"
            ) from error

    def load_loop(self) -> Any:
        """The module of what ends a loop. Raises CaptureFailed where the driver does not take it."""
        try:
            return self._load(shipped(LOOP))
        except self._cuda.Error as error:
            raise CaptureFailed(f"{LOOP} cannot be loaded: {error}") from error

    def _load(self, image: bytes) -> Any:
        return self._cuda.module_from_buffer(image + b"\0")  # PTX is text that ends so

    def launch(self, function: Any, grid: int, block: int, arguments: np.ndarray) -> None:
        """Enqueues ``function`` with one struct, a 0-d structured array, as its argument."""
        function(arguments[()], grid=(grid, 1), block=(block, 1, 1), stream=self._stream)

    def capture(self, work: Callable[[], None]) -> Graph:
        """What ``work`` enqueues, as one CUDA graph. Raises CaptureFailed; nothing has run then."""
        driver = _driver_bindings()
        stream = driver.CUstream(self.stream_handle)
        begin = partial(_call, driver, "cuStreamBeginCapture", stream)
        return Graph(driver, _captured(driver, stream, begin, work), stream)

    def capture_loop(self, work: Callable[[int], None]) -> Graph:
        """What ``work`` enqueues as the body of a loop, as one CUDA graph. Raises as ``capture`` does.

        The body runs once, and again until a kernel of it has set to 0 the handle that ``work`` is given.
        """
        driver = _driver_bindings()
        stream = driver.CUstream(self.stream_handle)
        graph = _call(driver, "cuGraphCreate", 0)
        try:
            handle, body = _add_loop(driver, graph)
            begin = partial(_call, driver, "cuStreamBeginCaptureToGraph", stream, body, None, None, 0)
            _captured(driver, stream, begin, partial(work, int(handle)))
        except CaptureFailed:
            driver.cuGraphDestroy(graph)
            raise
        return Graph(driver, graph, stream)


class CaptureFailed(EdgefillError):
    """A CUDA graph could not be made; the same work can be enqueued piece by piece."""


class Graph:
    """A captured piece of work that one call enqueues."""

    def __init__(self, driver: ModuleType, graph: Any, stream: Any) -> None:
        self._driver, self._stream = driver, stream
        try:
            self._executable = _call(driver, "cuGraphInstantiate", graph, 0)
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Enqueues the graph on the stream it was captured from."""
        (error,) = self._driver.cuGraphLaunch(self._executable, self._stream)
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise EngineError(f"cuGraphLaunch failed: {error}; expected success; try --backend cpu")

    def close(self) -> None:
        """Destroys the graph; it must have run."""
        self._driver.cuGraphExecDestroy(self._executable)


def _pycuda() -> ModuleType:
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise BackendUnavailable(
            f"pycuda cannot be imported ({error}); it needs an NVIDIA driver (libcuda) and comes with: "
            f"{install_line('rtx')}; `edgefill doctor` says what its build lacks"
        ) from error


def _driver_bindings() -> ModuleType:
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise CaptureFailed(
            f"cuda.bindings cannot be imported ({error}); it comes with: pip install cuda-bindings"
        ) from error


def _wait_spinning(ordinal: int) -> None:
    """Lets waits for the primary context spin: a Jetson may choose to sleep, which costs more than a step."""
    try:
        driver = _driver_bindings()
        _call(driver, "cuDevicePrimaryCtxSetFlags", ordinal, driver.CUctx_flags.CU_CTX_SCHED_SPIN)
    except CaptureFailed:  # the waits are right without it, and slower
        return


def _captured(driver: ModuleType, stream: Any, begin: Callable[[Any], None], work: Callable[[], None]) -> Any:
    """The graph of what ``work`` enqueues; ``begin`` begins the capture, in a mode. Raises CaptureFailed."""
    collecting = gc.isenabled()
    gc.disable()  # what a collection frees on the device would break the capture
    try:
        begin(driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        try:
            work()
        except Exception as error:
            driver.cuStreamEndCapture(stream)  # the stream is of no use before
            raise CaptureFailed(f"the steps cannot be captured: {error}") from error
        return _call(driver, "cuStreamEndCapture", stream)
    finally:
        if collecting:
            gc.enable()


def _add_loop(driver: ModuleType, graph: Any) -> tuple[Any, Any]:
    """Handle and body of a loop that is added to ``graph``: the body runs while the handle is not 0."""
    context = _call(driver, "cuCtxGetCurrent")
    handle = _call(driver, "cuGraphConditionalHandleCreate", graph, context, 1, _ASSIGN_DEFAULT)
    node = driver.CUgraphNodeParams()
    node.type = driver.CUgraphNodeType.CU_GRAPH_NODE_TYPE_CONDITIONAL
    node.conditional.handle = handle
    node.conditional.type = driver.CUgraphConditionalNodeType.CU_GRAPH_COND_TYPE_WHILE
    node.conditional.size = 1
    node.conditional.ctx = context
    _call(driver, _name_of_add_node(driver), graph, None, None, 0, node)
    return handle, node.conditional.phGraph_out[0]


def _name_of_add_node(driver: ModuleType) -> str:
    """In the bindings of CUDA 12 the plain name is of a form without the kinds of dependencies."""
    newer = "cuGraphAddNode_v2"
    return newer if hasattr(driver, newer) else "cuGraphAddNode"


def _call(driver: ModuleType, name: str, *arguments: Any) -> Any:
    """The one result of a driver call; raises CaptureFailed with the driver's error."""
    if not hasattr(driver, name):
        raise CaptureFailed(f"cuda.bindings are too old for {name}: pip install --upgrade cuda-bindings")
    error, *results = getattr(driver, name)(*arguments)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise CaptureFailed(f"{name} failed: {error}")
    return results[0] if results else None
