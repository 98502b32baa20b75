"""The heights and widths that go through a completion network, found out by trying them.

They are tried without computing anything: on tensors that have a shape and no values.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from edgefill.errors import ModelError
from edgefill.export.inpainter import Inpainter
from edgefill.model.interface import Sizes

_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 128, 256, 512)


def measured_sizes(inpainter: Inpainter, side: int) -> Sizes:
    """The multiple and the smallest of its sizes, or ``side``, which it takes, as its only one."""
    for step in _STEPS:
        tried = (side + step, side), (side, side + step), (side + 3 * step, 2 * side + step)
        if side % step == 0 and all(takes(inpainter, *size) for size in tried):
            return Sizes(multiple=step, smallest=smallest(inpainter, step, side))
    return Sizes(fixed=(side, side))


def smallest(inpainter: Inpainter, multiple: int, side: int) -> int:
    """The smallest multiple of ``multiple`` that it takes as height and width, or ``side``."""
    for size in range(multiple, side, multiple):
        if all(takes(inpainter, *each) for each in ((size, size), (size, side), (side, size))):
            return size
    return side


def takes(inpainter: Inpainter, height: int, width: int) -> bool:
    """Whether it runs on pictures of that size and returns such."""
    with _quiet(), FakeTensorMode(allow_non_fake_inputs=True):
        picture = torch.zeros(2, inpainter.interface.channels, height, width)
        known = torch.ones(2, 1, height, width)
        try:
            inpainter(picture, known)
        except ModelError:
            return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's report of each size that does not fit."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
