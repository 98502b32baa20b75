"""NVRTC of CUDA 12.0 through ctypes: CUDA C++ to machine code or PTX, on any x86-64 machine."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from edgefill.errors import BackendUnavailable, EngineError

VERSION = (12, 0)
_PACKAGE = "nvidia-cuda-nvrtc-cu12==12.0.*"


class Compiled(NamedTuple):
    """What NVRTC made of a program, and the lines it and its assembler had to say."""

    image: bytes
    log: str


class Nvrtc:
    """The compiler. Raises BackendUnavailable where its package, or the right version of it, is not there."""

    def __init__(self) -> None:
        if importlib.util.find_spec("nvidia") is None or not (
            package := importlib.util.find_spec("nvidia.cuda_nvrtc")
        ):
            raise BackendUnavailable(
                f"there is no NVRTC to compile the kernels with; it comes with: pip install '{_PACKAGE}'"
            )
        folder = Path(next(iter(package.submodule_search_locations or ())))
        self._library = ctypes.CDLL(str(folder / "lib" / "libnvrtc.so.12"))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        if (major.value, minor.value) != VERSION:
            raise BackendUnavailable(
                f"this NVRTC is {major.value}.{minor.value}; the kernels are compiled with 12.0, whose PTX "
                f"every supported driver reads: pip install '{_PACKAGE}'"
            )

    def compile(self, program: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        """A cubin where ``options`` name an sm_ architecture, else PTX. Raises EngineError with the log."""
        # NVRTC leaves the thread that calls it in the C locale, where Python reads files as ASCII.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._compile, program, headers, options).result()

    def _compile(self, program: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        handle = ctypes.c_void_p()
        sources, names = _strings(headers.values()), _strings(headers)
        named = program.encode(), b"kernels.cu", len(headers)
        self._call("nvrtcCreateProgram", ctypes.byref(handle), *named, sources, names)
        try:
            status = self._library.nvrtcCompileProgram(handle, len(options), _strings(options))
            log = self._read("ProgramLog", handle).decode()
            if status:
                raise EngineError(f"the kernels do not compile with {' '.join(options)}:\n{log}")
            kind = "CUBIN" if any("=sm_" in option for option in options) else "PTX"
            return Compiled(self._read(kind, handle), log)
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(handle))

    def _read(self, what: str, handle: ctypes.c_void_p) -> bytes:
        """A result of a compiled program; a text without the NUL at its end."""
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", handle, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", handle, content)
        return content.raw if what == "CUBIN" else content.value

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise EngineError(f"{name} failed: {self._library.nvrtcGetErrorString(status).decode()}")


def _strings(texts: Iterable[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [text.encode() for text in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)
