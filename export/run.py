"""A training run to a bundle."""

from __future__ import annotations

from pathlib import Path

from edgefill.bundle import Manifest
from edgefill.export.bundle import export_bundle
from edgefill.training.encoder import load_encoder
from edgefill.training.run import load_config, load_discriminator, load_generator


def export_run(
    run: str | Path,
    path: str | Path,
    *,
    name: str | None = None,
    precision: str = "fp32",
    weights: str | None = None,
    licence: str = "unknown",
    origin: str | None = None,
) -> Manifest:
    """Writes the newest checkpoint of a run folder as a bundle; see ``export_bundle``, which says the rest.

    G comes with its averaged weights, and with the run's encoder if there is one. Raises ModelError for a
    folder that holds no readable run.
    """
    config = load_config(run)
    return export_bundle(
        load_generator(run),
        load_discriminator(run),
        path,
        z_dim=config.network.z_dim,
        encoder=load_encoder(run),
        name=name,
        precision=precision,
        weights=weights,
        licence=licence,
        origin=origin or f"edgefill train, {config.epochs} epochs",
    )
