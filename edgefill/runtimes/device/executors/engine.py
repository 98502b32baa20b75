"""An engine on the device, the scratch memory that all engines share, and the kernels compiled for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefill.errors import OutputError
from edgefill.export.engines.library import Library
from edgefill.files import write_atomically

if TYPE_CHECKING:
    from edgefill.kernels.device import Device


class Scratch:
    """One piece of the memory of ``device`` for all contexts of an executor; that is current in every call.

    They run one after another on one stream, so it is as large as the largest need. Where it grows it lies
    elsewhere from then on.
    """

    def __init__(self, device: Device) -> None:
        self._device, self._contexts, self.bytes = device, list[Any](), 0
        self._memory: Any = None

    @property
    def address(self) -> int:
        """Where it lies; 0 where nobody needs any."""
        return int(self._memory) if self.bytes else 0

    def grow(self, size: int) -> None:
        """Makes it ``size`` bytes or more. Raises InputError for too many; it is as it was then."""
        if size <= self.bytes:
            return
        before, self._memory = self._memory, self._device.allocate(size)
        self.bytes = size
        for context in self._contexts:
            context.set_device_memory(self.address, size)
        if before is not None:
            self._device.synchronize()  # what was enqueued may still use it
            before.free()

    def give(self, context: Any) -> None:
        """Lets ``context`` have it, now and wherever it lies later."""
        self._contexts.append(context)
        if self.bytes:
            context.set_device_memory(self.address, self.bytes)

    def free(self) -> None:
        """Gives it back."""
        self._contexts.clear()
        if self._memory is not None:
            self._memory.free()
        self._memory, self.bytes = None, 0


class LoadedEngine:
    """``engine`` of ``library``, loaded, with contexts in ``scratch``; the device's context is current.

    TensorRT for RTX compiles kernels when an engine first runs: they are kept in ``kernels`` for the next
    process.
    """

    def __init__(
        self, library: Library, engine: Any, scratch: Scratch, plan_bytes: int, kernels: Path
    ) -> None:
        self._library, self._engine, self._kernels = library, engine, kernels
        self._scratch, self.plan_bytes = scratch, plan_bytes
        scratch.grow(library.context_bytes(engine))
        self._kept = kernels.read_bytes() if kernels.is_file() else b""
        self._config, self._cache = library.create_runtime_config(engine, self._kept)

    def create_context(self) -> Any:
        """What runs the engine at one batch size. Raises EngineError."""
        context = self._library.create_context(self._engine, self._config)
        self._scratch.give(context)
        return context

    def close(self) -> None:
        """Keeps the kernels that were compiled since it was loaded."""
        if self._cache is not None:
            compiled = bytes(self._cache.serialize())
            if compiled != self._kept:
                with suppress(OutputError):  # the next process compiles them again, and that is all
                    write_atomically(self._kernels, compiled)
