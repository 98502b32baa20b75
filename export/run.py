"""A training run to a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgefill.errors import InputError
from edgefill.export.bundle import export_bundle, silent
from edgefill.export.completion import export_completion
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.model.manifest import INT8, Manifest
from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.config import CONFIG
from edgefill.training.data import load_pictures
from edgefill.training.encoder import load_encoder
from edgefill.training.one_pass import load_completion_network
from edgefill.training.run import kind_of, load_config, load_discriminator, load_generator

_CALIBRATING = 256  # pictures of a folder that are read


def export_run(
    run: str | Path,
    path: str | Path,
    *,
    name: str | None = None,
    precision: str | None = None,
    weights: str | None = None,
    calibration: str | Path | None = None,
    licence: str = "unknown",
    origin: str | None = None,
    progress: Callable[[str], None] = silent,
) -> Manifest:
    """Writes the newest checkpoint of a run folder as a bundle; see ``export_bundle``, which says the rest.

    G, or the network of one pass, comes with its averaged weights, G with the run's encoder if there is one.
    ``precision`` is fp32 unless given; ``calibration`` is the folder of pictures that "int8" needs, of which
    the first hundreds are read. Raises ModelError for a folder that holds no readable run, InputError for a
    precision that its kind has not. ``progress`` is told of the phases of a search's export.
    """
    precision = precision or "fp32"
    told: dict[str, Any] = {"name": name, "precision": precision, "weights": weights, "licence": licence}
    if calibration is not None and precision != INT8:
        raise InputError(f"calibration is for int8; found the precision {precision!r}: leave one out")
    kind = kind_of(run)
    if kind in ARCHITECTURES:
        network, config = load_completion_network(run)
        shape = config.network
        origin = origin or f"edgefill train --model {kind}"
        if calibration is not None:
            told["calibration"] = load_pictures(
                Path(calibration), config.side, shape.channels, track=lambda files: files[:_CALIBRATING]
            ).values
        return export_completion(
            network, path, size=config.side, family=kind,
            origin=origin, **told,
        )  # fmt: skip
    if precision == INT8:
        raise InputError(
            f"{run} is a {kind}, whose search needs gradients; int8 is for {' and '.join(ARCHITECTURES)}"
        )
    recipe = load_config(run)
    return export_bundle(
        load_generator(run), load_discriminator(run), path, z_dim=recipe.network.z_dim,
        encoder=load_encoder(run), origin=origin or f"edgefill train, {recipe.epochs} epochs",
        progress=progress, **told,
    )  # fmt: skip


def exported_or_found(source: str, stem: str, **options: Any) -> Bundle:
    """``source`` as a bundle: a run, exported with ``options`` to a ``stem``, or a model that is there.

    Raises InputError where ``options`` say how to export what is exported, and what ``export_run`` and
    ``catalogue.find`` raise.
    """
    if (Path(source) / CONFIG).is_file():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{stem}.edgefill"
            export_run(source, path, **options)
            return Bundle.open(path)
    given = [key for key, value in options.items() if value not in (None, "unknown")]
    if given:
        raise InputError(
            f"{source} is an exported model, and {', '.join(given)} would change it; leave them out, or "
            "export its run"
        )
    return Bundle.open(find(source))
