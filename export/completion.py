"""Anybody's network of one pass, from a picture with a hole to a completed one, to a proven bundle."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgefill import __version__
from edgefill.errors import InputError
from edgefill.export.bundle import PRECISIONS, WEIGHTS, finished
from edgefill.export.gradient import OPSET, forward_graph
from edgefill.export.modules import prepared, rounded_to
from edgefill.export.phases import as_convolutions, in_phases
from edgefill.export.proof import prove_completion, prove_quantised
from edgefill.model.bundle import write_bundle
from edgefill.model.interface import Sizes
from edgefill.model.manifest import COMPLETION, HALF, INT8, Manifest, completion_interface
from edgefill.pictures.images import to_unit
from edgefill.training.holes import Holes

_EXAMPLE = 64, 68  # height and width while tracing: two sizes, or one symbol would stand for both


def export_one_pass(
    network: nn.Module,
    path: str | Path,
    *,
    channels: int,
    size: int,
    name: str | None = None,
    precision: str = "fp32",
    weights: str | None = None,
    calibration: np.ndarray | None = None,
    licence: str = "unknown",
    origin: str = "unknown",
) -> Manifest:
    """Writes ``network`` as a bundle of the kind glcic, and returns its manifest.

    It takes pictures [N, C, H, W] in [-1, 1], anything where nothing is known, and what is known of them,
    [N, 1, H, W] of 0 and 1; it returns completed pictures [N, C, H, W] in [-1, 1]. It is used in eval mode
    and left as it was. Batch, height and width stay dynamic, in multiples of 4.

    Args:
        path: with a suffix a zip, without one a folder.
        size: pixels of a side of the pictures that it was trained on.
        precision: as for ``export_bundle``; or "int8", whose first and last convolution stay fp32.
        calibration: for "int8" the pictures, uint8 [N, C, size, size], that show which values occur; a few
            hundred like those that will be completed. Holes of all kinds are put into them.
        weights, licence, origin: as for ``export_bundle``.

    Raises:
        ModelError: the network cannot be exported, or the exported one is not what PyTorch computes. Nothing
            is written then.
        InputError: an argument is not one of its values.
        OutputError: ``path`` cannot be written.
    """
    weights = weights or {"both": "fp32", INT8: "fp32"}.get(precision, precision)
    for key, value, known in (("precision", precision, (*PRECISIONS, INT8)), ("weights", weights, WEIGHTS)):
        if value not in known:
            raise InputError(f"{key} is {value!r}; expected one of {known}")
    feeds = _feeds(calibration, channels, size) if precision == INT8 else []
    manifest = Manifest(
        name=name or Path(path).stem, family="glcic",
        interface=completion_interface(
            channels, trained_side=size, sizes=Sizes(multiple=4), reach=156
        ),
        precision=precision.replace("both", "fp32"), weights=INT8 if feeds else weights, opset=OPSET,
        licence=licence, origin=origin, edgefill=__version__,
    )  # fmt: skip
    reference = prepared(network, "the completion network")
    if "fp16" in (weights, precision):
        rounded_to(reference, torch.float16)
    if feeds:
        from edgefill.export.quantised import quantised

        model = quantised(_traced(in_phases(copy.deepcopy(reference)), manifest), feeds)
        graphs = {COMPLETION: finished(model, COMPLETION, manifest)}
        proof = prove_quantised(graphs[COMPLETION], reference, feeds)
        return write_bundle(path, replace(manifest, proof=proof), graphs)
    graphs = {COMPLETION: _graph(reference, manifest)}
    proof = prove_completion(graphs[COMPLETION], reference, manifest)
    if precision == "both":
        half = replace(manifest, precision="fp16", weights="fp16")
        graphs[COMPLETION + HALF] = _graph(reference, half)
        proven = prove_completion(graphs[COMPLETION + HALF], reference, half)
        proof |= {f"fp16 {quantity}": error for quantity, error in proven.items()}
    return write_bundle(path, replace(manifest, proof=proof), graphs)


def _graph(reference: nn.Module, manifest: Manifest) -> bytes:
    """``reference`` in the manifest's precision; like all graphs it takes and returns float32."""
    return finished(_traced(as_convolutions(copy.deepcopy(reference)), manifest), COMPLETION, manifest)


def _traced(network: nn.Module, manifest: Manifest) -> ModelProto:
    dtype = torch.float16 if manifest.precision == "fp16" else torch.float32
    network = network.to(dtype)

    def complete(picture: Tensor, known: Tensor) -> Tensor:
        completed: Tensor = network(picture.to(dtype), known.to(dtype))
        return completed.float()

    examples = {
        "picture": torch.zeros(1, manifest.channels, *_EXAMPLE), "known": torch.ones(1, 1, *_EXAMPLE)
    }  # fmt: skip
    return forward_graph(complete, examples, "completed", any_size=True)


def _feeds(calibration: np.ndarray | None, channels: int, size: int) -> Sequence[Mapping[str, np.ndarray]]:
    """What the network is calibrated on: each picture of ``calibration`` with a hole."""
    expected = (channels, size, size)
    if calibration is None or calibration.shape[1:] != expected or not len(calibration):
        found = "none" if calibration is None else f"{list(calibration.shape)}"
        raise InputError(
            f"int8 needs pictures to calibrate by, uint8 [N, {channels}, {size}, {size}]; found {found}; "
            "give a few hundred: --calibration FOLDER"
        )
    known, _ = Holes(size, 1, 0, coarse=False).draw(len(calibration), np.random.default_rng(0))
    return [
        {"picture": picture[None], "known": weight[None]}
        for picture, weight in zip(to_unit(calibration), known, strict=True)
    ]
