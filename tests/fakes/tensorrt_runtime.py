"""The half of the made-up TensorRT that loads and runs engines; see ``tests.fakes.tensorrt``."""

from __future__ import annotations

import json
import zlib
from typing import Any


class Runtime:
    def __init__(self, fake: Any) -> None:
        self.fake = fake
        self.get_engine_validity = self._validity

    def _validity(self, plan: bytes) -> tuple[Any, int]:
        validity, header = self.fake.trt.EngineValidity, _header(plan)
        reasons = (header["version"] != self.fake.version) + 2 * (self.fake.sm not in header["sm"])
        return self.fake.answer(
            "get_engine_validity", (validity.INVALID if reasons else validity.VALID, reasons)
        )

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        engine = None if _header(plan)["version"] != self.fake.version else _Engine(self.fake, plan)
        return self.fake.answer("deserialize_cuda_engine", engine, plan)


def _header(plan: bytes) -> dict[str, Any]:
    return json.loads(plan.split(b"\n", 1)[0])


class _Engine:
    def __init__(self, fake: Any, plan: bytes) -> None:
        self.fake, header = fake, _header(plan)
        self.graph = plan.split(b"\n", 1)[1]
        self.tensors: dict[str, list[int]] = header["tensors"]
        self.inputs: list[str] = header["inputs"]
        self.profile: dict[str, list[list[int]]] = header["profile"]
        self.device_memory_size_v2 = fake.scratch

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return getattr(self.fake.trt.TensorIOMode, "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name])

    def create_runtime_config(self) -> Any:
        return self.fake.answer("create_runtime_config", _RuntimeConfig(self.fake))

    def create_execution_context(self, how: Any) -> Any:
        """``how`` is a strategy of allocation, or with RTX a configuration."""
        managed = self.fake.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        assert getattr(how, "allocation", how) == managed, "scratch memory is shared, so it is given"
        assert isinstance(how, _RuntimeConfig) == self.fake.rtx
        context = _Context(self, how)
        if not self.fake.rtx:
            del context.is_stream_capturable
        return self.fake.answer("create_execution_context", context)


class RuntimeCache:
    """What was compiled, by the graph that it was compiled for."""

    def __init__(self, fake: Any) -> None:
        self.fake, self.compiled = fake, set()

    def deserialize(self, content: bytes) -> bool:
        version, *compiled = content.decode().split()
        fits = version == self.fake.version
        self.compiled |= set(compiled) if fits else set()
        return self.fake.answer("RuntimeCache.deserialize", fits)

    def serialize(self) -> bytes:
        return " ".join([self.fake.version, *sorted(self.compiled)]).encode()


class _RuntimeConfig:
    def __init__(self, fake: Any) -> None:
        self.fake, self.allocation, self.cache = fake, None, None
        self.dynamic_shapes_kernel_specialization_strategy = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.allocation = strategy

    def create_runtime_cache(self) -> RuntimeCache:
        return self.fake.answer("create_runtime_cache", RuntimeCache(self.fake))

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return self.fake.answer("set_runtime_cache", True)


class _Context:
    """Runs nothing unless every shape is known, every tensor has an address and there is scratch memory."""

    def __init__(self, engine: _Engine, how: Any) -> None:
        self.engine, self.fake, self.how, self.scratch = engine, engine.fake, how, (0, 0)
        self.addresses: dict[str, int] = {}
        self.shapes = {name: tuple(engine.tensors[name]) for name in engine.inputs}
        self.is_stream_capturable = lambda stream: self.fake.answer("is_stream_capturable", True, stream)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        own = self.engine.tensors[name]
        smallest, _, largest = self.engine.profile.get(name, (own, own, own))
        fits = all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True))
        if fits:
            self.shapes[name] = tuple(shape)
        return self.fake.answer("set_input_shape", fits, name, tuple(shape))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.fake.answer("set_tensor_address", True, name, address)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0 and size >= self.engine.device_memory_size_v2
        self.scratch = (memory, size)
        self.fake.calls.append(("set_device_memory", memory, size))

    def infer_shapes(self) -> list[str]:
        unknown = [name for name, shape in self.shapes.items() if -1 in shape]
        return self.fake.answer("infer_shapes", unknown)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        rows, *sides = next(iter(self.shapes.values()))
        own = self.engine.tensors[name][1:]
        return (rows, *(own if -1 not in own else (own[0], *sides[1:])))

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self.scratch[1], "no scratch memory"
        self._compile()
        ready = set(self.addresses) == set(self.engine.tensors) and not self.infer_shapes()
        done = self.fake.answer("execute_async_v3", ready, stream_handle)
        if done:
            shapes = {name: self.get_tensor_shape(name) for name in self.engine.tensors}
            self.fake.execute(self.engine.graph, dict(self.addresses), shapes, stream_handle)
        return done

    def _compile(self) -> None:
        """With RTX, kernels for this engine unless an earlier process left them."""
        name = str(zlib.crc32(self.engine.graph))
        if self.fake.rtx and name not in self.how.cache.compiled:
            self.fake.calls.append(("compiles", name))
            self.how.cache.compiled.add(name)
