"""ONNX Runtime's CUDA provider, bound to our addresses and our stream."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.runtimes import Footprint
from edgefill.runtimes.device.executors import padded, tensor_shapes
from edgefill.runtimes.registry import row_of

if TYPE_CHECKING:
    from edgefill.kernels.device import Device
    from edgefill.model.bundle import Bundle

_PROVIDER = row_of("cuda").provider
_INSTALL = f"install it with: {row_of('cuda').install}; `edgefill doctor` says what is here"
_SILENT_BUT_ERRORS = 3


class OnnxRuntimeExecutor:
    """The graphs of ``bundle`` in ONNX Runtime on the stream of ``device``."""

    def __init__(self, bundle: Bundle, device: Device, *, precision: str) -> None:
        self._bundle, self._device, self._precision = bundle, device, precision
        self._runtime = _onnxruntime()
        self._sessions: dict[str, Any] = {}
        self._load_seconds = 0.0
        self.runtime = f"ONNX Runtime {self._runtime.__version__}"

    def check(self) -> None:
        """Opens a graph: a CUDA library that is missing is seen then."""
        self._session(self._bundle.simplest_graph(self._precision))

    def capacity(self, graph: str, rows: int) -> int:
        """A power of two: the graphs take any batch."""
        return padded(rows)

    def at_hand(self, graph: str, rows: int) -> int:
        """As ``capacity`` says: nothing is built."""
        return padded(rows)

    def ready(self, graph: str) -> None:
        """Any number: nothing is built."""

    def bind(
        self, graph: str, batch: int, addresses: Mapping[str, int], size: tuple[int, int] | None = None
    ) -> _Bound:
        """``graph`` with its tensors at ``addresses``; see Executor."""
        session = self._session(graph)
        inputs, _ = self._bundle.shapes(graph, self._precision)
        binding = session.io_binding()
        features = self._bundle.features(self._precision)
        tensors = tensor_shapes(self._bundle.manifest, graph, batch, size, features)
        for name, (shape, kind) in tensors.items():
            bind = binding.bind_input if name in inputs else binding.bind_output
            bind(name, "cuda", 0, kind, shape, addresses[name])
        options = self._runtime.RunOptions()
        # The stream is ours: whoever reads the outputs waits for it, and a capture must not be waited for.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return _Bound(session, binding, options, graph)

    def footprint(self) -> Footprint:
        """The size of the ONNX files, and how long they took to load."""
        size = sum(len(self._bundle.graph(name, self._precision)) for name in self._sessions)
        return Footprint(plan_bytes=size, load_seconds=self._load_seconds)

    def close(self) -> None:
        """Gives the sessions back."""
        self._sessions.clear()

    @property
    def _any_size(self) -> bool:
        """Whether pictures of many sizes come: an exhaustive search would be made again for each."""
        interface = self._bundle.manifest.interface
        return interface is not None and interface.sizes.fixed is None

    def _session(self, graph: str) -> Any:
        if graph not in self._sessions:
            begin = time.perf_counter()
            self._sessions[graph] = self._open(graph)
            self._load_seconds += time.perf_counter() - begin
        return self._sessions[graph]

    def _open(self, graph: str) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = _SILENT_BUT_ERRORS
        options.enable_mem_pattern = False  # a pattern of one run would move the next, which a graph captured
        provider = {
            "user_compute_stream": str(self._device.stream_handle),
            "enable_cuda_graph": "0",
            "use_tf32": "0",  # fp32 means fp32; who wants speed takes fp16
            "cudnn_conv_algo_search": "HEURISTIC" if self._any_size else "EXHAUSTIVE",
        }
        content = self._bundle.graph(graph, self._precision)
        try:
            session = self._runtime.InferenceSession(content, options, providers=[(_PROVIDER, provider)])
        except Exception as error:  # its own types, one per status, with no common parent
            raise EngineError(f"ONNX Runtime cannot open {graph} of {self._bundle.path}: {error}") from error
        found = session.get_providers()
        if found[0] != _PROVIDER:  # it falls back in silence where a CUDA library is missing
            raise BackendUnavailable(
                f"ONNX Runtime opened {graph} on {found[0]}, expected {_PROVIDER}: a CUDA or cuDNN library "
                f"that it needs is missing; {_INSTALL}"
            )
        return session


def open_executor(
    name: str,
    bundle: Bundle,
    device: Device,
    precision: str,
    *,
    engines: Path | None,
    say: Callable[[str], None],
) -> OnnxRuntimeExecutor:
    """The executor; there are no engines, and nothing to say."""
    return OnnxRuntimeExecutor(bundle, device, precision=precision)


class _Bound:
    capturable, scratch = True, 0

    def __init__(self, session: Any, binding: Any, options: Any, graph: str) -> None:
        self._session, self._binding, self._options, self._graph = session, binding, options, graph

    def enqueue(self) -> None:
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # its own types, one per status, with no common parent
            raise EngineError(f"ONNX Runtime cannot run {self._graph}: {error}") from error


def _onnxruntime() -> ModuleType:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise BackendUnavailable(f"onnxruntime cannot be imported ({error}); {_INSTALL}") from error
    found = runtime.get_available_providers()
    if _PROVIDER not in found:
        raise BackendUnavailable(
            f"this ONNX Runtime has {', '.join(found)}, expected {_PROVIDER}: onnxruntime-gpu has it, but "
            f"not beside onnxruntime (pip uninstall onnxruntime); {_INSTALL}"
        )
    if hasattr(runtime, "preload_dlls"):  # finds CUDA and cuDNN where pip puts them
        runtime.preload_dlls(directory="")
    return runtime
