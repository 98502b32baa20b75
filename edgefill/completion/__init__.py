"""Completing pictures with an exported model: needs no torch, no onnx and no compiler."""

from edgefill.completion.completer import Completer, load
from edgefill.jobs.request import Failure, Request, Result, Trace
from edgefill.methods.latent.settings import SearchSettings, search_settings

__all__ = [
    "Completer",
    "Failure",
    "Request",
    "Result",
    "SearchSettings",
    "Trace",
    "load",
    "search_settings",
]
