"""Where a search begins: at the encoder's z, or at the best of some draws from the prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefill.errors import ModelError
from edgefill.methods.latent.graphs import encode, evaluate
from edgefill.methods.latent.latents import Prior, Seed
from edgefill.methods.latent.search import SearchState, Task
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.runtimes import Runtime

_ROWS_AT_ONCE = 64  # of draws that are scored together


def begin(
    evidence: Evidence, settings: SearchSettings, seeds: Sequence[Seed], model: Manifest, runtime: Runtime
) -> SearchState:
    """The state before the first step of a search for what ``evidence`` says, one row for each of ``seeds``.

    z is pulled to the encoder's where the search begins there, else to the mean of the prior, which is 0.
    Raises ModelError for a model without an encoder or a D where it is asked for.
    """
    check_settings(settings, model)
    prior = Prior.of(model)
    first, anchor = None, np.zeros((len(seeds), model.z_dim), np.float32)
    if settings.start == "encoder":
        first = anchor = np.clip(encode(runtime, *evidence.seen()), -prior.bound, prior.bound)
        if settings.moves_features:  # as the first layer has them
            first = anchor = np.pad(anchor, ((0, 0), (0, runtime.features)))
    task = Task.of(evidence, settings, anchor)
    if settings.starts > 1:
        first = _best_of(settings.starts, task, seeds, prior, runtime)
    return SearchState.start(task, settings, seeds, prior, first)


def check_settings(settings: SearchSettings, model: Manifest) -> None:
    """Raises ModelError where ``settings`` ask an encoder or a D that ``model`` has not."""
    if settings.start == "encoder" and not model.has_encoder:
        raise ModelError(
            f"the model {model.name} has no encoder to start from; use --start random, or train one: "
            "edgefill train RUN --stage encoder, then edgefill export RUN"
        )
    if settings.lam and not model.has_discriminator:
        raise ModelError(
            f"the model {model.name} was exported without a discriminator, and the search asks it: lam is "
            f"{settings.lam:g} (solver {settings.solver.name}); expected lam 0, as in the default search or "
            "by `complete --lam 0`; or export the model with its D"
        )


def _best_of(count: int, task: Task, seeds: Sequence[Seed], prior: Prior, runtime: Runtime) -> np.ndarray:
    """The draw of each row with the least loss, [N, Z]; the first is what a search of its seed begins at."""
    best = np.empty_like(task.anchor)
    for row, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        drawn = np.stack([prior.draw(rng) for _ in range(count)])
        losses = []
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = drawn[start : start + _ROWS_AT_ONCE]
            own = Task(*(np.repeat(part[row : row + 1], len(rows), axis=0) for part in task))
            losses.append(evaluate(runtime, rows, own).loss)
        best[row] = drawn[np.nan_to_num(np.concatenate(losses), nan=np.inf).argmin()]
    return best
