"""A bundle that exists, in another precision: what is new is compared with its fp32 graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
from torch import Tensor

from edgefill import __version__
from edgefill.errors import InputError, ModelError
from edgefill.export.bundle import halved
from edgefill.export.importing.importer import Examined, write_examined
from edgefill.export.importing.network import Network
from edgefill.export.importing.trial import Trial
from edgefill.export.proof import differences, evaluated, judged, prove_encoder, random_case, run_graph
from edgefill.model.bundle import Bundle, annotate, write_bundle
from edgefill.model.manifest import (
    COMPLETION,
    ENCODER,
    HALF,
    HALF_GRAPHS,
    INT8,
    WITHOUT_D,
    WITHOUT_FIT,
    Manifest,
)

PRECISIONS = ("fp16", "both", INT8)


def export_again(
    bundle: Bundle,
    path: str | Path,
    *,
    precision: str,
    name: str | None = None,
    calibration: str | Path | None = None,
) -> Manifest:
    """Writes the model ``bundle``, which is there in fp32, in ``precision``, and returns its manifest.

    Args:
        path: with a suffix a zip, without one a folder.
        precision: "fp16", "both", which puts fp16 forms beside the fp32 graphs, or "int8", of one pass.
        name: its name; the file's stem unless given. Licence and origin stay what they are.
        calibration: for "int8" a folder of pictures like those that will be completed, 16 or more.

    Raises:
        ModelError: it has no fp32 graphs, or draws something else in ``precision``. Nothing is written then.
        InputError: an argument is not one of its values.
        OutputError: ``path`` cannot be written.
    """
    manifest = bundle.manifest
    _check(manifest, precision, calibration)
    name = name or Path(path).stem
    if manifest.interface:
        write_examined(
            _examined(bundle), path, name=name, precision=precision, calibration=calibration,
            licence=manifest.licence, origin=manifest.origin,
        )  # fmt: skip
        return annotate(path, alignment=manifest.alignment, usual_misfit=manifest.usual_misfit)
    return _search_in_half(bundle, path, name, beside=precision == "both")


def _check(manifest: Manifest, precision: str, calibration: str | Path | None) -> None:
    if precision not in PRECISIONS:
        raise InputError(
            f"{manifest.name} is exported already, and precision is {precision!r}; expected the precision to "
            f"make of it: {', '.join(PRECISIONS)}"
        )
    if manifest.precision != "fp32":
        raise ModelError(
            f"{manifest.name} is in {manifest.precision}; expected a model in fp32 to make {precision} of: "
            "export its run, or import its file"
        )
    if manifest.latent and precision == INT8:
        raise InputError(f"{manifest.name} searches, which needs gradients; int8 is for models of one pass")
    if manifest.latent and calibration is not None:
        raise InputError(f"calibration is for int8; found the precision {precision!r}: leave one out")
    if manifest.format <= WITHOUT_FIT:
        raise ModelError(
            f"{manifest.name} has the bundle format {manifest.format}, whose step cannot be made "
            f"{precision}; export its run"
        )


def _examined(bundle: Bundle) -> Examined:
    """A network of one pass as an import finds it."""
    manifest, interface = bundle.manifest, bundle.manifest.passed
    size = interface.sizes.fixed or (interface.trained_side, interface.trained_side)
    model = onnx.load_from_string(bundle.graph(COMPLETION))
    trial = Trial(Network(model, manifest.name), size, interface.channels)
    proof = {key: value for key, value in manifest.proof.items() if not key.startswith("fp16")}
    return Examined(
        model, interface, manifest.name, manifest.family, proof=proof, size=size,
        content=trial.outcome(interface).content,
    )  # fmt: skip


def _search_in_half(bundle: Bundle, path: str | Path, name: str, *, beside: bool) -> Manifest:
    """Writes the model ``bundle``, which searches, in fp16, or with that ``beside`` its graphs."""
    manifest = bundle.manifest
    whole = bundle.stored()
    half = replace(manifest, name=name, precision="fp16", weights="fp16", edgefill=__version__)
    wanted = [graph for graph in whole if not beside or graph in (*HALF_GRAPHS, *WITHOUT_D)]
    halves = {graph: halved(content, graph, half) for graph, content in whole.items() if graph in wanted}
    proof = _proven(halves, whole, half)
    own = {key: value for key, value in manifest.proof.items() if not key.startswith("fp16")}
    if not beside:
        return write_bundle(path, replace(half, proof=proof), halves)
    proof = own | {f"fp16 {quantity}": error for quantity, error in proof.items()}
    graphs = {**whole, **{f"{graph}{HALF}": content for graph, content in halves.items()}}
    return write_bundle(path, replace(half, precision="fp32", weights=manifest.weights, proof=proof), graphs)


def _proven(halves: Mapping[str, bytes], whole: Mapping[str, bytes], manifest: Manifest) -> dict[str, float]:
    """How far ``halves`` are from the ``whole`` graphs. Raises ModelError; see ``prove``."""

    def generate(z: Tensor) -> Tensor:
        return run_graph(whole["generator"], {"z": z})["generated"]

    z, rest = random_case(generate, manifest)
    if not manifest.has_discriminator:
        del rest["lam"]
    inputs = {"z": z, **rest}
    proof = judged(differences(evaluated(halves, inputs), evaluated(whole, inputs)), manifest.precision)
    if ENCODER in halves:
        proof[ENCODER] = prove_encoder(
            halves[ENCODER],
            lambda picture, known: run_graph(whole[ENCODER], {"picture": picture, "known": known})["z"],
            manifest,
        )
    return proof
