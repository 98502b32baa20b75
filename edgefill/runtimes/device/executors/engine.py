"""An engine on the device: its scratch memory, which its contexts share, and the kernels compiled for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefill.errors import OutputError
from edgefill.export.engines.library import Library
from edgefill.files import write_atomically

if TYPE_CHECKING:
    from edgefill.kernels.device import Device


class LoadedEngine:
    """``engine`` of ``library``, loaded; the device's context is current in every call.

    Its contexts run one after another on one stream, so they share one piece of scratch memory. TensorRT for
    RTX compiles kernels when an engine first runs: they are kept in ``kernels`` for the next process.
    """

    def __init__(self, library: Library, engine: Any, device: Device, plan_bytes: int, kernels: Path) -> None:
        self._library, self._engine, self._kernels = library, engine, kernels
        self.plan_bytes, self.scratch_bytes = plan_bytes, library.context_bytes(engine)
        self._scratch = device.allocate(self.scratch_bytes) if self.scratch_bytes else None
        self._kept = kernels.read_bytes() if kernels.is_file() else b""
        self._config, self._cache = library.create_runtime_config(engine, self._kept)

    def create_context(self) -> Any:
        """What runs the engine at one batch size. Raises EngineError."""
        context = self._library.create_context(self._engine, self._config)
        if self._scratch is not None:
            context.set_device_memory(int(self._scratch), self.scratch_bytes)
        return context

    def close(self) -> None:
        """Frees the scratch memory, and keeps the kernels that were compiled since it was loaded."""
        if self._scratch is not None:
            self._scratch.free()
        if self._cache is not None:
            compiled = bytes(self._cache.serialize())
            if compiled != self._kept:
                with suppress(OutputError):  # the next process compiles them again, and that is all
                    write_atomically(self._kernels, compiled)
