"""onnxruntime with a CUDA provider, as far as an executor calls it."""

from __future__ import annotations

import sys
from typing import Any


class FakeOnnxRuntime:
    """Sessions that record what is bound and run; ``opens_on`` is the provider that a session really gets."""

    __version__ = "1.31.1"

    def __init__(
        self,
        *,
        providers: tuple[str, ...] = ("CUDAExecutionProvider",),
        opens_on: str = "CUDAExecutionProvider",
    ) -> None:
        self._providers, self._opens_on = list(providers), opens_on
        self.sessions: list[_Session] = []
        self.preloaded = 0
        self.breaks = ""  # what every run answers

    def install(self, monkeypatch) -> FakeOnnxRuntime:
        monkeypatch.setitem(sys.modules, "onnxruntime", self)
        return self

    def get_available_providers(self) -> list[str]:
        return self._providers

    def preload_dlls(self, directory: str | None = None) -> None:
        self.preloaded += 1

    def SessionOptions(self) -> Any:
        return type("SessionOptions", (), {})()

    def RunOptions(self) -> _RunOptions:
        return _RunOptions()

    def InferenceSession(self, graph: bytes, options: Any, providers: list[Any]) -> _Session:
        if not graph:
            raise RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF")
        session = _Session(self, graph, options, providers, self._opens_on)
        self.sessions.append(session)
        return session


class _RunOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class _Session:
    def __init__(
        self, library: FakeOnnxRuntime, graph: bytes, options: Any, providers: list[Any], opens_on: str
    ) -> None:
        self._library, self.graph, self.providers, self._opens_on = library, graph, providers, opens_on
        self.options = options
        self.runs: list[tuple[_Binding, _RunOptions]] = []

    def get_providers(self) -> list[str]:
        return [self._opens_on, "CPUExecutionProvider"]

    def io_binding(self) -> _Binding:
        return _Binding()

    def run_with_iobinding(self, binding: _Binding, options: _RunOptions) -> None:
        if self._library.breaks:
            raise RuntimeError(self._library.breaks)
        self.runs.append((binding, options))


class _Binding:
    def __init__(self) -> None:
        self.inputs: dict[str, tuple[Any, ...]] = {}
        self.outputs: dict[str, tuple[Any, ...]] = {}

    def bind_input(self, name: str, device: str, index: int, kind: Any, shape: Any, pointer: int) -> None:
        self.inputs[name] = (device, index, kind, tuple(shape), pointer)

    def bind_output(self, name: str, device: str, index: int, kind: Any, shape: Any, pointer: int) -> None:
        self.outputs[name] = (device, index, kind, tuple(shape), pointer)
