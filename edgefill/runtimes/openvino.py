"""OpenVINO on the CPU.

Rows run one by one: with others beside it a row may get other last bits, and together they are hardly
quicker.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import openvino

from edgefill.runtimes.cpu import CpuRuntime
from edgefill.runtimes.registry import row_of
from edgefill.runtimes.rows import Arrays, Run

if TYPE_CHECKING:
    from edgefill.model.bundle import Bundle


class OpenVino(CpuRuntime):
    """The graphs of ``bundle`` in OpenVINO."""

    advice = "use --backend cpu"

    def __init__(self, bundle: Bundle, *, precision: str | None = None, threads: int | None = None) -> None:
        version = openvino.__version__.partition("-")[0]
        super().__init__(row_of("openvino"), version, bundle, precision, threads)
        own = precision or bundle.manifest.precision
        self.settings = {
            "INFERENCE_PRECISION_HINT": "f16" if own == "fp16" else "f32",  # else it takes bf16 where it can
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # The cores belong to others too.
        }
        self._core = openvino.Core()
        # Its plugin gives the thread that loads it a stack for signals, and takes that back from whichever
        # drops it. The main thread, left with one that is gone, would end at its next Ctrl-C.
        with ThreadPoolExecutor(1) as another:
            another.submit(self._core.get_property, "CPU", "FULL_DEVICE_NAME").result()

    @property
    def rows_at_once(self) -> int | None:
        """One; see the module's docstring."""
        return 1

    def open_graph(self, graph: str) -> Run:
        """``graph``, compiled for one row, or for as many as it wants, of any size that it takes."""
        inputs, outputs = self._bundle.shapes(graph)
        sides = {"N": 1, "H": -1, "W": -1}
        shapes = {
            name: [sides[side] if isinstance(side, str) else side for side in shape]
            for name, shape in inputs.items()
        }
        model = self._core.read_model(self._bundle.graph(graph, self._precision))
        model.reshape(shapes)
        request = self._core.compile_model(model, "CPU", self.settings).create_infer_request()

        def run(feeds: Arrays) -> dict[str, np.ndarray]:
            whole = {name: np.ascontiguousarray(values) for name, values in feeds.items()}
            found = request.infer(whole, share_inputs=True)
            return {name: found[name] for name in outputs}

        return run


open_runtime = OpenVino
