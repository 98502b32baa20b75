"""What runs a graph on a device: TensorRT, TensorRT for RTX, or ONNX Runtime's CUDA provider.

An executor reads its inputs from and writes its outputs to addresses that it is given once, and enqueues its
work on a stream that it is given: the search around it, and the CUDA graph that captures it, are the same
whichever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgefill.model.manifest import Manifest, graph_dtypes, graph_signatures
from edgefill.runtimes import Footprint
from edgefill.runtimes.registry import Row

if TYPE_CHECKING:
    from edgefill.kernels.device import Device
    from edgefill.model.bundle import Bundle


class Executor(Protocol):
    """The graphs of one bundle in one library, on one device."""

    runtime: str  # such as "TensorRT 10.3.0, fp16"

    def check(self) -> None:
        """Raises BackendUnavailable or EngineError where it cannot run here, if that is seen quickly."""

    def capacity(self, graph: str, rows: int) -> int:
        """The batch size that ``rows`` pictures of ``graph`` run in: ``rows`` or more."""

    def at_hand(self, graph: str, rows: int) -> int | None:
        """The batch size that ``rows`` run in with what is there; None where something had to be built."""

    def ready(self, graph: str) -> int | None:
        """The most rows of ``graph`` that run together with what is there; None is any number."""

    def bind(
        self, graph: str, batch: int, addresses: Mapping[str, int], size: tuple[int, int] | None = None
    ) -> Bound:
        """``graph`` (of a bundle, such as "fit") at ``batch`` rows, with each of its tensors at its address.

        ``size`` is the height and width for a graph that takes any. The device's context is current. Raises
        EngineError with the library's own words.
        """

    def footprint(self) -> Footprint:
        """What its plans weigh, and how long they took."""

    def close(self) -> None:
        """Gives back what it holds of the device."""


class Bound(Protocol):
    """A graph that is ready to run at its addresses."""

    capturable: bool  # whether a CUDA graph may be captured around it

    @property
    def scratch(self) -> int:
        """Where its scratch memory lies, 0 where it has none of ours: a graph of before it moved is stale."""

    def enqueue(self) -> None:
        """Enqueues one run on the device's stream. Raises EngineError where the library refuses."""


def open_executor(
    row: Row,
    bundle: Bundle,
    device: Device,
    precision: str,
    *,
    engines: Path | None = None,
    say: Callable[[str], None],
) -> Executor:
    """The executor of the runtime ``row``. Raises BackendUnavailable with the line that installs it."""
    home = import_module(row.home)
    executor: Executor = home.open_executor(row.name, bundle, device, precision, engines=engines, say=say)
    return executor


def padded(rows: int) -> int:
    """``rows`` rounded up to a power of two, so that few sizes are ever built, bound or captured."""
    return 1 << (rows - 1).bit_length()


def tensor_shapes(
    model: Manifest, graph: str, batch: int, size: tuple[int, int] | None = None, features: int = 0
) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Every input and output of ``graph``: its shape at ``batch`` rows, and its type.

    ``size`` is the height and width for a graph that takes any, ``features`` how many numbers the latent of a
    wide one has beside z. Where the graph has a number of rows of its own, or no axis for them, that stays.
    """
    inputs, outputs = graph_signatures(model, features)[graph]
    sides, kinds = {"N": batch, **dict(zip("HW", size or (), strict=False))}, graph_dtypes(model, graph)
    return {
        name: (
            tuple(sides[side] if isinstance(side, str) else side for side in shape),
            np.dtype(kinds[name]).type,
        )
        for name, shape in {**inputs, **outputs}.items()
    }
