"""What runs the graphs of a model. A backend takes n steps, not one, so that a device keeps the search.

The backend that is asked for is the one that runs, or an error: only ``auto`` chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgefill.errors import BackendUnavailable

if TYPE_CHECKING:
    from edgefill.bundle import Bundle
    from edgefill.completion.search import SearchState

BACKENDS = ("auto", "cpu")


@dataclass(frozen=True)
class BackendInfo:
    """What a backend is called and what it runs on, for people and for results."""

    name: str  # one of BACKENDS, or "fake"
    runtime: str  # such as "ONNX Runtime 1.31.0"
    device: str  # such as "CPU, 2 threads"

    def __str__(self) -> str:
        return f"{self.name} ({self.runtime}, {self.device})"


class Backend(Protocol):
    """The smallest interface that keeps n steps on the device."""

    @property
    def info(self) -> BackendInfo: ...

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z), [N, C, H, W] in [-1, 1], of ``z [N, Z]``."""

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place."""

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""

    def close(self) -> None:
        """Gives back what the device holds; nothing runs afterwards."""


def open_backend(name: str, bundle: Bundle, *, threads: int | None = None) -> Backend:
    """The backend ``name`` with the graphs of ``bundle`` loaded; ``threads`` None takes all cores.

    Raises BackendUnavailable with the line that installs what is missing, ModelError for a broken graph.
    """
    if name not in BACKENDS:
        raise BackendUnavailable(f"there is no backend {name!r}; expected one of {', '.join(BACKENDS)}")
    try:
        from edgefill.completion.backends.onnx_runtime import OnnxRuntimeBackend
    except ImportError as error:
        raise BackendUnavailable(
            f"the backend {name!r} needs ONNX Runtime, which cannot be imported ({error}); "
            'install it with: pip install "edgefill[cpu]"'
        ) from error
    return OnnxRuntimeBackend(bundle, threads=threads)
