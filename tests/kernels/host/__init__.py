"""The kernels compiled by the host's C++ compiler, and steps and compositions run with them."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgefill.kernels.arguments import SEARCH, compose_arguments, search_arguments, structs
from edgefill.kernels.compile import read_sources
from edgefill.kernels.solvers import SHIPPED
from edgefill.kernels.solvers.solver import Solver
from edgefill.methods.latent.search import Evaluation, SearchState

_HERE = Path(__file__).parent
_KINDS = {"float *": np.float32, "int *": np.int32}
# Fortified, longjmp takes a jump from one stack to another for a mistake.
_FLAGS = (
    "-O2 -U_FORTIFY_SOURCE -ffp-contract=off -std=c++17 -shared -fPIC "
    "-Wall -Wextra -Werror -Wno-unknown-pragmas"
)


class HostKernels:
    """The kernels of ``solvers`` in a library that is built in ``folder``; CXX names the compiler."""

    def __init__(self, folder: Path, solvers: Sequence[type[Solver]] = SHIPPED) -> None:
        self.structs = {struct.name: struct.dtype for struct in structs(solvers)}
        library, sources = folder / "kernels.so", folder / "sources"
        sources.mkdir()
        for name, text in {**read_sources(solvers), "launchers.cpp": self._launchers(solvers)}.items():
            (sources / name).write_text(text, encoding="utf-8")
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        include = f"-I{sources}"
        command = [*compiler, *_FLAGS.split(), include, _HERE / "kernels.cpp", "-o", library]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self._library = ctypes.CDLL(str(library))

    def _launchers(self, solvers: Sequence[type[Solver]]) -> str:
        """The kernels, what launches each, and what says how each struct lies in memory."""
        lines = [f'#include "{solver.name}.cu"' for solver in solvers]
        lines += [f"LAUNCHER({solver.kernel()}, {solver.__name__})" for solver in solvers]
        for name, dtype in self.structs.items():
            lines.append(f"LAYOUT({name}, {' '.join(f'FIELD({field})' for field in dtype.names or ())})")
        return "\n".join(lines) + "\n"

    def layout(self, struct: str) -> list[int]:
        """Offset and size of each field of a C struct, in NumPy's order, then the size of all."""
        function = getattr(self._library, f"layout_{struct}")
        function.restype = ctypes.POINTER(ctypes.c_size_t)
        return function()[: 2 * len(self.structs[struct].names) + 1]

    def step(self, state: SearchState, found: Evaluation, *, block: int = 128, order: int = 0) -> None:
        """Moves ``state`` on in place by one launch, as ``search.take_step`` does."""
        arrays = {**state.arrays, **state.drawn, "rates": state.rates, **found._asdict()}
        for field in (*SEARCH.fields, *state.settings.solver.struct(SEARCH).fields):
            if field.name in arrays:
                array = arrays[field.name]
                kind = (
                    state.rates.dtype if field.name == "rates" else _KINDS[field.kind.removeprefix("const ")]
                )
                assert array.flags.c_contiguous and array.dtype == kind, field.name
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        rows, z_dim = state.z.shape
        arguments = search_arguments(state.settings, addresses, rows=rows, z_dim=z_dim, bound=state.bound)
        self.launch(state.settings.solver.kernel(), rows, block, arguments, order)

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
