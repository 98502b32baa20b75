"""Everything edgefill raises on purpose.

    EdgefillError            exit code 1
    ├── InputError           3   a picture, mask or setting that cannot be used
    ├── ModelError           4   a bundle, run folder or ONNX graph that cannot be used
    │   └── EngineError      4   a TensorRT plan that cannot be built or loaded
    ├── BackendUnavailable   5   a device or optional package that is not there
    ├── OutputError          6   a file that cannot be written
    └── Busy                 7   a scheduler that takes no more jobs for now

A message says what failed, what was found, what was expected and what to do next.
"""

from __future__ import annotations


class EdgefillError(Exception):
    """What every error of this package is; ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(EdgefillError):
    exit_code = 3


class ModelError(EdgefillError):
    exit_code = 4


class EngineError(ModelError):
    exit_code = 4


class BackendUnavailable(EdgefillError):
    exit_code = 5


class OutputError(EdgefillError):
    exit_code = 6


class Busy(EdgefillError):
    """``seconds`` is about when it is worth to ask again; 0 where nobody knows."""

    exit_code = 7

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds
