"""tensorrt 10.3 to 11 and tensorrt_rtx as one library: the only file that knows how they differ.

Both fail by returning None or False after logging why; here every such call raises EngineError with what was
logged.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from edgefill.errors import BackendUnavailable, EngineError
from edgefill.runtimes.registry import LIBRARIES, row_of

_MEMORY_POOLS = ("WORKSPACE", "TACTIC_DRAM")  # what a layer may use, and what trying tactics may


def open_library(name: str) -> Library:
    """The library ``name``, one of LIBRARIES. Raises BackendUnavailable with the line that installs it."""
    if name not in LIBRARIES:
        raise BackendUnavailable(f"there is no library {name!r}; expected one of {', '.join(LIBRARIES)}")
    row = row_of(name)
    try:
        module = importlib.import_module(row.package)
    except (ImportError, OSError) as error:  # OSError: it loads shared libraries itself
        raise BackendUnavailable(
            f"{row.package} cannot be imported ({error}); install it with: {row.install}; "
            "on a Jetson it comes with JetPack, and `edgefill doctor` says what hides it"
        ) from error
    return _opened(name, module)


@functools.cache
def _opened(name: str, module: ModuleType) -> Library:
    return Library(name, module)  # once, since TensorRT keeps the first logger of a process


class Library:
    """One of the two packages."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name, self.trt = name, module
        self.version = str(module.__version__)
        self.title = f"{row_of(name).title} {self.version}"
        self._lines: list[tuple[bool, str]] = []  # (is an error, text), of warnings and worse
        self._logger = _logger(module, self._lines)

    @property
    def complaints(self) -> tuple[str, ...]:
        """The warnings and errors of the last ``call``."""
        return tuple(text for _, text in self._lines)

    def call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function`` returns. Raises EngineError with TensorRT's words where that is None or False.

        ``what`` completes "TensorRT cannot …".
        """
        self._lines.clear()
        try:
            result = function(*arguments)
        except (RuntimeError, TypeError, ValueError) as error:  # a constructor that fails is a TypeError
            raise self.failure(what, str(error)) from error
        if result is None or result is False:
            raise self.failure(what)
        return result

    def failure(self, what: str, *reasons: str) -> EngineError:
        """The error to raise: ``reasons``, then the errors that were logged, or all lines where none is."""
        logged = [text for is_error, text in self._lines if is_error] or self.complaints
        lines = "\n".join(dict.fromkeys((*reasons, *logged))) or "it does not say why"
        return EngineError(f"{self.title} cannot {what}:\n{lines}")

    def create_builder(self) -> Any:
        return self.call("make a builder", self.trt.Builder, self._logger)

    def create_network(self, builder: Any) -> Any:
        """An empty network whose types are those of the ONNX file; 11 and later know no other."""
        strongly_typed = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        flags = 0 if strongly_typed is None else 1 << int(strongly_typed)
        return self.call("make a network", builder.create_network, flags)

    def create_parser(self, network: Any) -> Any:
        return self.call("make a parser", self.trt.OnnxParser, network, self._logger)

    def create_config(
        self, builder: Any, *, sm: Sequence[int] = (), level: int | None = None, memory: int | None = None
    ) -> Any:
        """How to build: for ``sm``, at optimisation ``level`` 0 to 5, with ``memory`` bytes of the GPU."""
        config = self.call("make a configuration", builder.create_builder_config)
        config.max_aux_streams = 0  # all work stays on the stream that is captured
        config.clear_flag(self.trt.BuilderFlag.TF32)  # fp32 means fp32; who wants speed takes fp16
        if hasattr(self.trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
            config.set_flag(self.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # a capture must not allocate
        if level is not None:
            config.builder_optimization_level = level
        for pool in _MEMORY_POOLS if memory is not None else ():
            config.set_memory_pool_limit(getattr(self.trt.MemoryPoolType, pool), memory)
        if sm and self.names_targets:
            self._set_targets(config, sm)
        return config

    @property
    def names_targets(self) -> bool:
        """Whether engines can be built for GPUs that are not here; else it is for the one that is."""
        return hasattr(self.trt, "ComputeCapability")

    @property
    def keeps_timings(self) -> bool:
        """Whether a timing cache makes later builds faster; RTX does not time, and would ask for a GPU."""
        return self.name == "tensorrt"

    @property
    def compiles_at_run_time(self) -> bool:
        """Whether kernels are compiled for the GPU when an engine first runs there."""
        return hasattr(self.trt, "IRuntimeCache")

    def targets(self) -> tuple[int, ...]:
        """The architectures that an engine can be built for by name."""
        members = self.trt.ComputeCapability.__members__ if self.names_targets else ()
        return tuple(sorted(int(name[2:]) for name in members if name.startswith("SM")))

    def create_runtime(self) -> Any:
        return self.call("make a runtime", self.trt.Runtime, self._logger)

    def deserialize(self, runtime: Any, plan: bytes) -> Any:
        """The engine of ``plan``, which must be one that we built: deserialising executes what is in it."""
        reasons = self._invalid(runtime, plan)
        if reasons:
            raise EngineError(
                f"{self.failure('use this engine', *reasons)}\nbuild it again (`edgefill build MODEL --for "
                f"{self.name} --force`); `edgefill doctor` says whether the driver is new enough"
            )
        return self.call("load this engine", runtime.deserialize_cuda_engine, plan)

    def create_runtime_config(self, engine: Any, kernels: bytes) -> tuple[Any, Any]:
        """How ``engine`` runs, and the cache of the kernels that are compiled for it; None where it has none.

        Only RTX compiles when it runs. ``kernels`` are those of an earlier process; what does not fit here it
        leaves aside. Kernels for open sizes are compiled before the first run, which a graph then captures.
        """
        if not self.compiles_at_run_time:
            return None, None
        config = self.call("configure this engine", engine.create_runtime_config)
        strategies = self.trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        config.set_execution_context_allocation_strategy(
            self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        cache = self.call("make a cache of kernels", config.create_runtime_cache)
        if kernels:
            cache.deserialize(kernels)
        self.call("use a cache of kernels", config.set_runtime_cache, cache)
        return config, cache

    def create_context(self, engine: Any, config: Any = None) -> Any:
        """What runs ``engine`` in memory that it is given, ``context_bytes`` of it."""
        how = config or self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        return self.call("make a context of this engine", engine.create_execution_context, how)

    def context_bytes(self, engine: Any) -> int:
        """What a context of ``engine`` needs on the device beside its weights."""
        size = getattr(engine, "device_memory_size_v2", None)
        return int(engine.device_memory_size if size is None else size)

    def is_capturable(self, context: Any, stream: int) -> bool:
        """Whether ``context`` may run inside a CUDA graph that is captured on ``stream``."""
        asked = getattr(context, "is_stream_capturable", None)
        return asked is None or bool(asked(stream))

    def _set_targets(self, config: Any, sm: Sequence[int]) -> None:
        known = self.targets()
        for each in sm:
            if each not in known:
                names = ", ".join(map(str, known))
                raise EngineError(
                    f"{self.title} cannot build for sm {each}; it knows {names}: use one of them"
                )
        config.num_compute_capabilities = len(sm)
        for index, each in enumerate(sm):
            target = getattr(self.trt.ComputeCapability, f"SM{each}")
            self.call(f"build for sm {each}", config.set_compute_capability, target, index)

    def _invalid(self, runtime: Any, plan: bytes) -> list[str]:
        """Why ``plan`` cannot run here, read from its header; only RTX can say."""
        if not hasattr(runtime, "get_engine_validity"):
            return []
        validity, diagnostics = self.call("read this engine", runtime.get_engine_validity, plan)
        if validity != self.trt.EngineValidity.INVALID:
            return []
        reasons = self.trt.EngineInvalidityDiagnostics.__members__.items()
        return [name for name, flag in reasons if int(flag) & int(diagnostics)] or ["INVALID"]


def _logger(trt: ModuleType, lines: list[tuple[bool, str]]) -> Any:
    """A logger that appends warnings and worse to ``lines``."""
    severities = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(severities.WARNING):
                lines.append((int(severity) <= int(severities.ERROR), message))

    return Logger()
