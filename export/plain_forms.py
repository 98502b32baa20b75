"""What PyTorch does in a special way where it can, done in the plain way that can be traced and exported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch.distributions import Distribution
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import resolve_name
from torch.utils import checkpoint

from edgefill.export import programs, volumes
from edgefill.export.decompositions import whole_upsampling
from edgefill.export.decompositions.quantisation import fake_quantize_per_channel
from edgefill.export.functions import FORMS


@contextmanager
def plain_forms() -> Iterator[None]:
    """Attention, recurrent layers and warps in forms that have a gradient; compiled modules as written.

    And without the exporter's notes on itself.
    """
    resolve_name(torch.add)  # PyTorch collects the names of its functions once: before these are others
    with ExitStack() as forms:
        forms.enter_context(quiet())
        forms.enter_context(as_written())
        forms.enter_context(sdpa_kernel(SDPBackend.MATH))
        forms.enter_context(torch.backends.mkldnn.flags(enabled=False))
        for owner, name, form in (*FORMS, *volumes.FORMS):
            forms.enter_context(mock.patch.object(owner, name, form))
        forms.enter_context(mock.patch.object(Distribution, "_validate_args", False))
        forms.enter_context(
            mock.patch.object(torch, "fake_quantize_per_channel_affine", fake_quantize_per_channel)
        )
        forms.enter_context(whole_upsampling())
        forms.enter_context(programs.taken_as_they_are())
        yield


@contextmanager
def as_written() -> Iterator[None]:
    """Compiled modules run as they were written, nothing is computed anew on the way back; no autocast.

    The precision of a graph is what was asked for, not what a module asks of a device.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch's compiler imports
        from torch._dynamo import config
    with (
        torch.compiler.set_stance("force_eager"),
        config.patch(error_on_nested_fx_trace=False),
        mock.patch.object(checkpoint.CheckpointFunction, "apply", lambda call, _, *inputs: call(*inputs)),
        mock.patch.object(torch.autocast, "__enter__", lambda self: self),
        mock.patch.object(torch.autocast, "__exit__", lambda *_: None),
    ):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch and its exporter say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._subclasses")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
