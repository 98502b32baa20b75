"""Completing pictures with an exported model: needs no torch, no onnx and no compiler."""

from edgefill.completion.books import Load
from edgefill.completion.completer import Completer, load
from edgefill.completion.future import JobFuture
from edgefill.completion.scheduler import Scheduler
from edgefill.jobs.job import Job, Progress
from edgefill.jobs.request import Failure, Request, Result, Trace
from edgefill.methods.latent.settings import SearchSettings, search_settings

__all__ = [
    "Completer",
    "Failure",
    "Job",
    "JobFuture",
    "Load",
    "Progress",
    "Request",
    "Result",
    "Scheduler",
    "SearchSettings",
    "Trace",
    "load",
    "search_settings",
]
