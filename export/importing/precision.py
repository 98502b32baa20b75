"""A foreign network in half precision, by ONNX Runtime's own converter."""

from __future__ import annotations

import warnings

import numpy as np
from onnx import ModelProto

from edgefill.errors import ModelError

TOLERANCE = 0.05  # of a picture in [-1, 1], on average in the hole


def in_half(model: ModelProto, name: str) -> ModelProto:
    """A copy of ``model`` that computes in fp16 between inputs and outputs of the types that it has.

    Raises ModelError where it cannot be converted.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copied = ModelProto()
    copied.CopyFrom(model)
    try:
        with warnings.catch_warnings():  # of numbers that are rounded
            warnings.simplefilter("ignore")
            half: ModelProto = convert_float_to_float16(copied, keep_io_types=True)
    except Exception as error:  # whatever the converter meets
        raise ModelError(
            f"{name} cannot be converted to fp16: {type(error).__name__}: {error}; import it "
            "with --precision fp32"
        ) from error
    return half


def difference_in_half(half: np.ndarray, whole: np.ndarray, name: str) -> float:
    """How far what is drawn in the holes in fp16 is from that in fp32, on average, on [-1, 1].

    Raises ModelError where that is more than TOLERANCE.
    """
    error = float(np.abs(half - whole).mean())
    if not error <= TOLERANCE:
        raise ModelError(
            f"in fp16 {name} draws another picture: {error * 127.5:.1f} grey levels off in the hole; "
            f"expected at most {TOLERANCE * 127.5:.0f}; nothing was written; import it with --precision fp32"
        )
    return error
