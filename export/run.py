"""A training run to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgefill.bundle import Manifest
from edgefill.export.bundle import export_bundle
from edgefill.export.one_pass import export_one_pass
from edgefill.training.config import GlcicTraining
from edgefill.training.encoder import load_encoder
from edgefill.training.glcic import load_completion_network
from edgefill.training.run import kind_of, load_config, load_discriminator, load_generator


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

    G, or the network of one pass, comes with its averaged weights, G with the run's encoder if there is one.
    Raises ModelError for a folder that holds no readable run.
    """
    told: dict[str, Any] = {"name": name, "precision": precision, "weights": weights, "licence": licence}
    if kind_of(run) == GlcicTraining.kind:
        network, config = load_completion_network(run)
        shape = config.network
        origin = origin or "edgefill train --model glcic"
        return export_one_pass(network, path, channels=shape.channels, size=shape.size, origin=origin, **told)
    recipe = load_config(run)
    return export_bundle(
        load_generator(run), load_discriminator(run), path, z_dim=recipe.network.z_dim,
        encoder=load_encoder(run), origin=origin or f"edgefill train, {recipe.epochs} epochs", **told,
    )  # fmt: skip
