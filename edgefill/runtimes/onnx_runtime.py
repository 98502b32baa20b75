"""ONNX Runtime on the CPU."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from edgefill.errors import BackendUnavailable
from edgefill.runtimes.cpu import CpuRuntime
from edgefill.runtimes.registry import row_of
from edgefill.runtimes.rows import Arrays, Run

if TYPE_CHECKING:
    from edgefill.model.bundle import Bundle

_ROW = row_of("cpu")
_SILENT_BUT_ERRORS = 3
_CELLS_AT_ONCE = 2**18  # of frames: one of 512×512


class OnnxRuntime(CpuRuntime):
    """The graphs of ``bundle`` in ONNX Runtime. Raises BackendUnavailable where it cannot use the CPU."""

    def __init__(self, bundle: Bundle, *, precision: str | None = None, threads: int | None = None) -> None:
        found = onnxruntime.get_available_providers()
        if _ROW.provider not in found:
            raise BackendUnavailable(
                f"this ONNX Runtime has {found}, expected {_ROW.provider}; install it with: {_ROW.install}"
            )
        super().__init__(_ROW, onnxruntime.__version__, bundle, precision, threads)

    @property
    def rows_at_once(self) -> int | None:
        """Of frames as many as are worth it: more take gigabytes and are no quicker."""
        interface = self._bundle.manifest.interface
        return max(1, _CELLS_AT_ONCE // math.prod(interface.cells)) if interface else None

    def open_graph(self, graph: str) -> Run:
        """A session with ``graph``."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _SILENT_BUT_ERRORS
        # Threads wait actively inside a run, which is a quarter faster, but not between runs, where the
        # cores belong to others.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        content = self._bundle.graph(graph, self._precision)
        session = onnxruntime.InferenceSession(content, options, providers=[_ROW.provider])
        names = list(self._bundle.shapes(graph)[1])

        def run(feeds: Arrays) -> dict[str, np.ndarray]:
            options = onnxruntime.RunOptions()  # one for each run: what it ended stays ended
            self._end = partial(setattr, options, "terminate", True)
            try:
                return dict(zip(names, session.run(names, dict(feeds), options), strict=True))
            finally:
                self._end = None

        return run


open_runtime = OnnxRuntime
