"""The kernels compiled by the host's C++ compiler, and steps and compositions run with them."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
from pathlib import Path

import numpy as np

import edgefill.kernels
from edgefill.kernels.arguments import COMPOSE, RATES, SEARCH, compose_arguments, search_arguments
from edgefill.methods.latent.search import Evaluation, SearchState

_COUNTS = ("marked_at", "steps", "limit", "status", "pairs")
STRUCTS = {"Search": SEARCH, "Compose": COMPOSE, "Rates": RATES}
_HERE, _SOURCES = Path(__file__).parent, Path(edgefill.kernels.__file__).parent
_FLAGS = "-O2 -ffp-contract=off -std=c++17 -shared -fPIC -Wall -Wextra -Werror -Wno-unknown-pragmas"


class HostKernels:
    """The kernels in a library that is built in ``folder``; CXX names the compiler."""

    def __init__(self, folder: Path) -> None:
        library = folder / "kernels.so"
        layouts = [
            f"-DLAYOUT_{name.upper()}={' '.join(f'FIELD({field})' for field in struct.names)}"
            for name, struct in STRUCTS.items()
        ]
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        include = f"-I{_SOURCES}"
        command = [*compiler, *_FLAGS.split(), *layouts, include, _HERE / "kernels.cpp", "-o", library]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self._library = ctypes.CDLL(str(library))

    def layout(self, struct: str) -> list[int]:
        """Offset and size of each field of a C struct, in NumPy's order, then the size of all."""
        function = getattr(self._library, f"layout_{struct}")
        function.restype = ctypes.POINTER(ctypes.c_size_t)
        return function()[: 2 * len(STRUCTS[struct].names) + 1]

    def step(self, state: SearchState, found: Evaluation, *, block: int = 128, order: int = 0) -> None:
        """Moves ``state`` on in place by one launch, as ``search.take_step`` does."""
        values = {**vars(state), **found._asdict()}
        arrays = {name: values[name] for name in SEARCH.names if isinstance(values.get(name), np.ndarray)}
        for name, array in arrays.items():
            kind = RATES if name == "rates" else np.int32 if name in _COUNTS else np.float32
            assert array.flags.c_contiguous and array.dtype == kind, name
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        rows, z_dim = state.z.shape
        arguments = search_arguments(state.settings, addresses, rows=rows, z_dim=z_dim, bound=state.bound)
        self.launch(f"{state.settings.solver}_step", rows, block, arguments, order)

    def compose(
        self,
        generated: np.ndarray,
        target: np.ndarray,
        known: np.ndarray,
        *,
        grid: int = 3,
        block: int = 128,
        order: int = 0,
    ) -> np.ndarray:
        """The composed pictures, uint8 [N, H, W, C]."""
        rows, channels, height, width = generated.shape
        composed = np.full((rows, height, width, channels), 77, np.uint8)
        arrays = {
            "generated": np.ascontiguousarray(generated, np.float32),
            "target": np.ascontiguousarray(target, np.float32),
            "known": np.ascontiguousarray(known, np.uint8),
            "composed": composed,
        }
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        arguments = compose_arguments(addresses, rows=rows, channels=channels, height=height, width=width)
        self.launch("compose", grid, block, arguments, order)
        return composed

    def launch(
        self, kernel: str, grid: int, block: int, arguments: np.ndarray | np.void, order: int = 0
    ) -> None:
        """One launch of ``kernel`` with its struct; ``order`` is that of the threads between barriers."""
        arguments = np.asarray(arguments)
        function = getattr(self._library, f"launch_{kernel}")
        function.restype = ctypes.c_bool
        ended = function(grid, block, order, ctypes.c_void_p(arguments.ctypes.data))
        assert ended, f"some threads of {kernel} wait at a barrier that the others never reach"
