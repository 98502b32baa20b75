"""tensorrt and tensorrt_rtx without a GPU, in the shapes that their releases have.

A plan is a line of JSON and the ONNX graph it was built from, so that whoever executes an engine can run the
graph. Calls are recorded by name; ``failing`` makes a call answer something else, after ``says`` was logged.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable
from enum import Enum, IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from tests.fakes.tensorrt_runtime import Runtime, RuntimeCache

RELEASES = ("10.3.0", "10.16.1", "11.4.0")
_REMOVED_IN_11 = ("FP16", "INT8", "BF16", "FP8", "OBEY_PRECISION_CONSTRAINTS", "DIRECT_IO")
Execute = Callable[[bytes, dict[str, int], dict[str, tuple[int, ...]], int], None]


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Based:
    """What a Python class derived from a bound one must initialise, as pybind11 insists."""

    def __init__(self) -> None:
        self.initialised = True


class FakeTensorRT:
    """One installed package. ``sm`` is the GPU's, None where there is none.

    ``execute(graph, addresses, shapes, stream)`` does what an engine would, when it is enqueued.
    """

    def __init__(
        self,
        version: str = "10.3.0",
        *,
        rtx: bool = False,
        sm: int | None = 87,
        execute: Execute = lambda *_: None,
    ) -> None:
        self.version, self.rtx, self.sm, self.execute = version, rtx, sm, execute
        self.calls: list[tuple[Any, ...]] = []
        self.failing: dict[str, Any] = {}  # name of a call → what it answers instead
        self.says: list[tuple[Severity, str]] = [(Severity.ERROR, "what TensorRT says")]
        self.warns: list[str] = []  # while it builds
        self.scratch = 1 << 20  # bytes that a context of an engine needs which is loaded from now on
        self.interrupt: Callable[[], None] = lambda: None  # what happens in the middle of a build
        self.logger: Any = None

    @property
    def package(self) -> str:
        return "tensorrt_rtx" if self.rtx else "tensorrt"

    def install(self, monkeypatch) -> FakeTensorRT:
        """Puts the package where an import finds it."""
        monkeypatch.setitem(sys.modules, self.package, self.module())
        return self

    def count(self, name: str) -> int:
        """How often ``name`` was called."""
        return sum(call[0] == name for call in self.calls)

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of ``name``."""
        return [call[1:] for call in self.calls if call[0] == name]

    def answer(self, name: str, value: Any, *arguments: Any) -> Any:
        """Records the call and returns ``value``, or what ``failing`` has in its place."""
        self.calls.append((name, *arguments))
        if name not in self.failing:
            return value
        for severity, text in self.says:
            self.logger.log(severity, text)
        return self.failing[name]

    def module(self) -> ModuleType:
        new = self.rtx or self.version.startswith("11")
        flags = ["TF32", "REFIT", "STRICT_NANS", *(() if new else _REMOVED_IN_11)]
        module = ModuleType(self.package)
        module.__version__ = self.version
        module.ILogger = type("ILogger", (Based,), {"Severity": Severity})
        module.IProgressMonitor = type("IProgressMonitor", (Based,), {})
        module.Builder = lambda logger: _Builder(self, self._take(logger))
        module.OnnxParser = lambda network, logger: _Parser(self, network, self._take(logger))
        module.Runtime = lambda logger: self._runtime(self._take(logger))
        module.MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE TACTIC_DRAM")
        module.TensorIOMode = Enum("TensorIOMode", "NONE INPUT OUTPUT")
        creation = ["EXPLICIT_BATCH", *([] if self.version.startswith("11") else ["STRONGLY_TYPED"])]
        module.NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", creation, start=0)
        module.BuilderFlag = Enum("BuilderFlag", [*flags, *(["REQUIRE_USER_ALLOCATION"] if self.rtx else [])])
        strategies = "STATIC ON_PROFILE_CHANGE USER_MANAGED"
        module.ExecutionContextAllocationStrategy = Enum("ExecutionContextAllocationStrategy", strategies)
        if self.rtx:
            module.IRuntimeCache = RuntimeCache
            kinds = "LAZY EAGER NONE"
            module.DynamicShapesKernelSpecializationStrategy = Enum("Specialization", kinds)
            module.ComputeCapability = Enum("ComputeCapability", "NONE CURRENT SM75 SM80 SM86 SM89 SM120")
            module.EngineValidity = Enum("EngineValidity", "VALID SUBOPTIMAL INVALID")
            module.EngineInvalidityDiagnostics = IntEnum(
                "EngineInvalidityDiagnostics",
                {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2, "OLD_CUDA_DRIVER": 4},
            )
        self.trt = module
        return module

    def _take(self, logger: Any) -> Any:
        assert logger.initialised
        assert self.logger in (None, logger), "TensorRT keeps the first logger of a process"
        self.logger = logger
        return logger

    def _runtime(self, logger: Any) -> Any:
        runtime = Runtime(self)
        if not self.rtx:
            del runtime.get_engine_validity
        return self.answer("Runtime", runtime)


class _Builder:
    def __init__(self, fake: FakeTensorRT, logger: Any) -> None:
        self.fake = fake
        fake.calls.append(("Builder",))
        if fake.sm is None and not fake.rtx:
            logger.log(Severity.INTERNAL_ERROR, "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> Any:
        return self.fake.answer("create_network", _Network(self.fake), flags)

    def create_builder_config(self) -> Any:
        return self.fake.answer("create_builder_config", _Config(self.fake))

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(
            shapes=(shapes := {}), set_shape=lambda name, *three: shapes.update({name: three})
        )

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        for warning in self.fake.warns:
            self.fake.logger.log(Severity.WARNING, warning)
        if not config.report():
            self.fake.logger.log(Severity.ERROR, "Build canceled by user")
            return None
        if config.cache is not None:
            config.cache.timings[str(zlib.crc32(network.graph))] = 1.0
        tensors = {tensor.name: list(tensor.shape) for tensor in (*network.inputs, *network.outputs)}
        profile = config.profiles[0].shapes if config.profiles else {}
        header = {
            "version": self.fake.version, "sm": config.sm or [self.fake.sm], "tensors": tensors,
            "inputs": [tensor.name for tensor in network.inputs], "profile": profile,
        }  # fmt: skip
        plan = json.dumps(header).encode() + b"\n" + network.graph
        return self.fake.answer("build_serialized_network", plan, network, config)


class _Network:
    """What the parser fills; a tensor's batch is -1 until its shape is set."""

    def __init__(self, fake: FakeTensorRT) -> None:
        self.fake, self.graph = fake, b""
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> Any:
        return self.inputs[index]


class _Parser:
    def __init__(self, fake: FakeTensorRT, network: _Network, logger: Any) -> None:
        self.fake, self.network, self.logger = fake, network, logger
        self.errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> str:
        return self.errors[index]

    def parse(self, graph: bytes) -> bool:
        try:
            model = onnx.load_from_string(graph).graph
        except DecodeError:
            self.errors.append("MODEL_DESERIALIZE_FAILED: Failed to parse the ONNX model.")
            return False
        self.network.graph = graph
        self.network.inputs, self.network.outputs = map(_tensors, (model.input, model.output))
        return self.fake.answer("parse", True)


def _tensors(values: Any) -> list[Any]:
    return [
        SimpleNamespace(
            name=value.name,
            shape=tuple(side.dim_value or -1 for side in value.type.tensor_type.shape.dim),
        )
        for value in values
    ]


class _Config:
    def __init__(self, fake: FakeTensorRT) -> None:
        self.fake = fake
        self.max_aux_streams: int | None = None
        self.builder_optimization_level = 3
        self.progress_monitor: Any = None
        self.flags = {fake.trt.BuilderFlag.TF32}
        self.pools: dict[str, int] = {}
        self.profiles: list[Any] = []
        self.sm: list[int] = []
        self.cache: _TimingCache | None = None

    @property
    def num_compute_capabilities(self) -> int:
        return len(self.sm)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, count: int) -> None:
        self.sm = [0] * count

    def set_compute_capability(self, target: Any, index: int) -> bool:
        self.sm[index] = int(target.name[2:])
        return self.fake.answer("set_compute_capability", True, target.name, index)

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.pools[pool.name] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return self.fake.answer("add_optimization_profile", len(self.profiles) - 1)

    def create_timing_cache(self, content: bytes) -> Any:
        assert not self.fake.rtx, "a timing cache makes TensorRT for RTX ask for a GPU"
        return _TimingCache.read(content, self.fake.sm)

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.sm != self.fake.sm:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache

    def report(self) -> bool:
        """Tells the monitor of a build in two phases; False where it wants no more."""
        monitor = self.progress_monitor
        if monitor is None:
            return True
        assert monitor.initialised
        going_on = True
        for phase, parent, steps in (("Building engine", None, 2), ("Timing tactics", "Building engine", 3)):
            monitor.phase_start(phase, parent, steps)
            self.fake.interrupt()
            going_on = going_on and all(monitor.step_complete(phase, step) for step in range(steps))
            monitor.phase_finish(phase)
        return going_on


class _TimingCache:
    def __init__(self, sm: int | None, timings: dict[str, float]) -> None:
        self.sm, self.timings = sm, timings

    @classmethod
    def read(cls, content: bytes, sm: int | None) -> _TimingCache | None:
        try:
            return cls(**json.loads(content)) if content else cls(sm, {})
        except (ValueError, TypeError):
            return None

    def combine(self, other: _TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if self.sm != other.sm:
            return False
        self.timings = {**other.timings, **self.timings}
        return True

    def serialize(self) -> bytes:
        return json.dumps({"sm": self.sm, "timings": self.timings}).encode()
