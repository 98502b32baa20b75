"""A foreign network in ONNX Runtime, as the trial and the measurements run it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from edgefill.errors import ModelError
from edgefill.model.interface import Interface

_FATAL = 4  # what ONNX Runtime logs; its errors are raised too


class Network:
    """``model`` in a session of its own; ``name`` is what messages call it."""

    def __init__(self, model: ModelProto, name: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        # In the order of the graph, so that what is looked at within it is not held to the end.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        self._quietly = onnxruntime.RunOptions()
        self._quietly.log_severity_level = _FATAL
        self.name = name
        self._inputs = [value.name for value in model.graph.input]
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions have no base
            raise ModelError(f"ONNX Runtime cannot load {name}: {_reason(error)}; export it again") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output for ``feeds``. Raises ModelError where ONNX Runtime cannot compute it."""
        try:
            values = self._session.run(None, {name: feeds[name] for name in self._inputs}, self._quietly)
        except Exception as error:  # as above
            sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            raise ModelError(f"{self.name} does not run on {sizes}: {_reason(error)}") from error
        return dict(zip(self._outputs, values, strict=True))

    def drawn(self, interface: Interface, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The picture that it draws by ``interface``, in [-1, 1]; as ``Interface.feeds`` and ``drawn``.

        Raises ModelError where it does not run or where what it draws has another shape.
        """
        return read(self.run(interface.feeds(picture, known)), interface, picture, self.name)


def read(
    outputs: Mapping[str, np.ndarray], interface: Interface, picture: np.ndarray, name: str
) -> np.ndarray:
    """The picture in ``outputs``, which must be one of the size of ``picture``. Raises ModelError."""
    output = interface.output
    found = outputs[output.name]
    expected = tuple(dict(zip("NCHW", picture.shape, strict=True))[axis] for axis in output.layout)
    if found.shape != expected:
        raise ModelError(
            f"{name} draws {output.name!r} of shape {list(found.shape)}; expected {list(expected)}, the size "
            "of the picture that it was given"
        )
    if not np.isfinite(found).all():
        raise ModelError(f"{name} returns NaN or Inf in {output.name!r}; expected a picture")
    return np.asarray(interface.drawn(outputs))


def _reason(error: Exception) -> str:
    """The first line of what ONNX Runtime says, without its own source files."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+\.(cc|h):\d+ \S+( \[?with [^]]*\])? ?", "", line)
