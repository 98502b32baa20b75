"""A foreign ONNX file to a bundle: read, recognised, tried, simplified, proven and written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from edgefill import __version__
from edgefill.errors import InputError
from edgefill.export import onnx_passes
from edgefill.export.calibration import cases_of_folder
from edgefill.export.importing.declaring import declared
from edgefill.export.importing.measuring import with_any_batch, with_reach, with_sizes
from edgefill.export.importing.memory import check_memory
from edgefill.export.importing.network import Network
from edgefill.export.importing.packaging import Packaging, packaging_in
from edgefill.export.importing.ports import ports
from edgefill.export.importing.precision import difference_in_half, in_half
from edgefill.export.importing.reading import read_network
from edgefill.export.importing.recognition import as_told, recognised
from edgefill.export.importing.resizing import resized
from edgefill.export.importing.simplifying import simplified_alike
from edgefill.export.importing.told import Told
from edgefill.export.importing.trial import Trial, looks_into_the_hole, measured, tried
from edgefill.export.importing.wording import described
from edgefill.model.bundle import write_bundle
from edgefill.model.interface import Interface
from edgefill.model.known import KnownNetwork, known_by_hash
from edgefill.model.manifest import COMPLETION, HALF, INT8, Manifest
from edgefill.model.onnx_file import check_onnx

PRECISIONS = ("fp32", "fp16", "both", INT8)
_TRIAL_SIDE = 256  # of the picture that a network of any size is tried on


@dataclass(frozen=True)
class Examined:
    """A foreign network that completed the trial's picture, by its interface."""

    model: ModelProto
    interface: Interface
    name: str
    family: str = "unknown"
    known: KnownNetwork | None = None
    proof: dict[str, float] = field(default_factory=dict)
    content: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of the trial's holes, as it draws them
    size: tuple[int, int] = (0, 0)  # of the trial's picture
    found: tuple[str, ...] = ()  # sentences on what it is


def import_network(
    file: str | Path,
    path: str | Path,
    *,
    told: Told | None = None,
    contract: Mapping[str, Any] | None = None,
    whole: bool = False,
    size: int | None = None,
    name: str | None = None,
    precision: str = "fp32",
    calibration: str | Path | None = None,
    licence: str | None = None,
    origin: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Writes the completion network in the ONNX file ``file`` as a bundle and returns its manifest.

    Args:
        path: with a suffix a zip, without one a folder.
        told: what is known of its conventions; the rest is found out by its file and by trying it.
        contract: the same as any part of an interface, as ``Interface.to_json`` has it.
        whole: whether a packaging that is recognised stays around its network.
        size: pixels of a side, for a network of one larger size that convolutions alone would not fix.
        precision: "fp32" as it is, "fp16", or "both", which puts an fp16 form beside it; or "int8".
        calibration: for "int8" a folder of pictures like those that will be completed, 16 or more.
        licence, origin: the terms of the weights and where they come from, for the manifest.
        report: is given sentences on what is found.

    Raises:
        ModelError: the file cannot be read, is no completion network, or leaves something open that has to
            be told. Nothing is written then.
        InputError: an argument is not one of its values.
        OutputError: ``path`` cannot be written.
    """
    check_precision(precision, calibration)
    told = told or Told()
    told = replace(told, contract=contract) if contract else told
    examined = examine(file, told=told, whole=whole, size=size)
    for line in examined.found:
        report(line)
    return write_examined(
        examined, path, name=name, precision=precision, calibration=calibration, licence=licence,
        origin=origin or Path(file).name,
    )  # fmt: skip


def check_precision(precision: str, calibration: str | Path | None) -> None:
    """Raises InputError where ``precision`` is none, or does not go with ``calibration``."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; expected one of {PRECISIONS}")
    if calibration is not None and precision != INT8:
        raise InputError(f"calibration is for int8; found the precision {precision!r}: leave one out")
    if calibration is None and precision == INT8:
        raise InputError(
            "int8 needs pictures to calibrate by, like those that will be completed, 16 or more: "
            "--calibration FOLDER"
        )


def examine(
    file: str | Path, *, told: Told | None = None, whole: bool = False, size: int | None = None
) -> Examined:
    """What the ONNX file ``file`` is, tried and measured; nothing is written. As ``import_network``."""
    path, told = Path(file), told or Told()
    model = read_network(path)
    known = known_by_hash(hashlib.sha256(path.read_bytes()).hexdigest())
    packaging = packaging_in(model)
    if packaging:
        interface = packaging.whole if whole else packaging.core
        model = declared(model, interface) if whole else packaging.cut(model)
        found = as_told(interface, told)
    else:
        found = recognised(*ports(model), told, path.name)
    if size is not None:
        model, interface = resized(model, found.interface, size, path.name)
        found = found.of(interface)
    side = found.interface.trained_side if packaging else _TRIAL_SIDE
    tried_on = found.interface.sizes.fixed or (side, side)
    check_memory(model, _shapes(found.interface, tried_on), path.name)
    network = Network(model, path.name)
    trial = Trial(network, tried_on, found.interface.channels)
    outcome = tried(trial, found)
    interface = measured(outcome)
    if not packaging:
        interface = with_reach(network, with_sizes(network, interface))
        interface = with_any_batch(model, interface, path.name)
    proof = {"hole": outcome.hole, "known": outcome.known}
    if whole or not packaging:
        proof["seen in the hole"] = looks_into_the_hole(trial, outcome)
    whole_model = declared(model, interface)
    simpler, moved = simplified_alike(whole_model, trial, replace(outcome, interface=interface))
    if moved is not None:
        proof["simplified"] = moved
    return Examined(
        model=simpler,
        interface=interface,
        name=path.name,
        family=packaging.name if packaging else known.name if known else "unknown",
        known=known,
        proof=proof,
        content=outcome.content,
        size=tried_on,
        found=(
            *_recognised_as(packaging, known, whole),
            *described(interface, proof),
            *_about_colours(interface, told, packaging),
            *_simplified_to(whole_model, simpler, moved),
        ),
    )


def _recognised_as(packaging: Packaging | None, known: KnownNetwork | None, whole: bool) -> list[str]:
    """What the file is, where that is known."""
    said = []
    if known:
        said.append(f"{known.name} as its authors publish it ({known.page}), licence {known.licence}")
    if packaging and whole:
        said.append(f"{packaging.name} stays in its packaging, which sees what stands in the hole")
    elif packaging:
        said.append(f"{packaging.name} is taken out of its packaging; --whole keeps that")
    return said


def _about_colours(interface: Interface, told: Told, packaging: Packaging | None) -> list[str]:
    """What a trial cannot tell: a network that fills holes well does so in either order of its channels."""
    if packaging or interface.order != "RGB" or "order" in told.claims:
        return []
    return ["RGB is taken where BGR does as well: where colours come out wrong, import with --order BGR"]


def _simplified_to(model: ModelProto, simpler: ModelProto, moved: float | None) -> list[str]:
    before, after = len(model.graph.node), len(simpler.graph.node)
    if moved is None or before == after:
        return []
    return [
        f"simplified from {before} operators to {after}, which moves what it draws by {moved:.1e} at most"
    ]


def _shapes(interface: Interface, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Of the inputs, for pictures of ``size``."""
    sides = {"N": 1, "H": size[0], "W": size[1]}
    inputs, _ = interface.signature
    return {
        name: tuple(side if isinstance(side, int) else sides[side] for side in shape)
        for name, shape in inputs.items()
    }


def write_examined(
    examined: Examined,
    path: str | Path,
    *,
    name: str | None = None,
    precision: str = "fp32",
    calibration: str | Path | None = None,
    licence: str | None = None,
    origin: str = "unknown",
) -> Manifest:
    """Writes what ``examine`` found as a bundle; as ``import_network``."""
    check_precision(precision, calibration)
    known = examined.known
    manifest = Manifest(
        name=name or Path(path).stem, interface=examined.interface, family=examined.family,
        precision=precision.replace("both", "fp32"), weights=_stored_in(examined.model),
        opset=examined.model.opset_import[0].version,
        licence=licence or (known.licence if known else "unknown"), origin=origin, edgefill=__version__,
    )  # fmt: skip
    proof = dict(examined.proof)
    graphs = {COMPLETION: examined.model}
    if calibration is not None:
        graphs[COMPLETION], lost = _in_int8(examined, calibration)
        proof |= {f"int8 {key}": value for key, value in lost.items()}
        manifest = replace(manifest, weights=INT8)
    if precision in ("fp16", "both"):
        half = in_half(examined.model, examined.name)
        proof["fp16 hole"] = _proven_in_half(half, examined)
        graphs = {COMPLETION: half} if precision == "fp16" else {**graphs, COMPLETION + HALF: half}
    if precision == "fp16":
        manifest = replace(manifest, weights="fp16")
    proof = {key: float(f"{value:.3g}") for key, value in proof.items()}
    contents = {graph: _finished(model, graph, manifest) for graph, model in graphs.items()}
    return write_bundle(path, replace(manifest, proof=proof), contents)


def _in_int8(examined: Examined, calibration: str | Path) -> tuple[ModelProto, dict[str, float]]:
    """The network in INT8, calibrated by the pictures of a folder, and what it loses by that."""
    from edgefill.export.quantised import drawings, quantised

    interface, name = examined.interface, examined.name
    cases = cases_of_folder(calibration, interface)
    exact = list(drawings(Network(examined.model, name), interface, cases))
    model, ruin = quantised(examined.model, interface, cases, exact, name)
    return model, ruin.proof


def _proven_in_half(half: ModelProto, examined: Examined) -> float:
    trial = Trial(Network(half, examined.name), examined.size, examined.interface.channels)
    content = trial.outcome(examined.interface).content
    return float(difference_in_half(content, examined.content, examined.name))


def _stored_in(model: ModelProto) -> str:
    """The type of most of the weights."""
    sizes = dict.fromkeys((TensorProto.FLOAT, TensorProto.FLOAT16), 0)
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims))
    return "fp16" if sizes[TensorProto.FLOAT16] > sizes[TensorProto.FLOAT] else "fp32"


def _finished(model: ModelProto, graph: str, manifest: Manifest) -> bytes:
    """The bytes of ``model``, without traces of where it was made and checked as a bundle's are."""
    finished = ModelProto()
    finished.CopyFrom(model)
    onnx_passes.strip_traces(finished)
    metadata = {"graph": graph, "method": manifest.method, "name": manifest.name, "licence": manifest.licence}
    onnx_passes.write_metadata(finished, {f"edgefill.{key}": value for key, value in metadata.items()})
    content = bytes(finished.SerializeToString(deterministic=True))
    inputs, outputs = manifest.passed.signature
    dtypes = manifest.passed.dtypes
    check_onnx(content, name=f"the {graph} of {manifest.name}", inputs=inputs, outputs=outputs, dtypes=dtypes)
    return content
