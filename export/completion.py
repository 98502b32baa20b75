"""Anybody's completion network, in whatever convention it is called, to a proven bundle."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgefill import __version__
from edgefill.errors import InputError, ModelError
from edgefill.export.bundle import PRECISIONS, WEIGHTS, finished
from edgefill.export.calibration import Case, cases_of_pictures
from edgefill.export.gradient import OPSET, plain_graph
from edgefill.export.inpainter import Inpainter
from edgefill.export.modules import prepared, rounded_to
from edgefill.export.phases import as_convolutions, in_phases
from edgefill.export.proof import prove_completion
from edgefill.export.reach import measured_reach
from edgefill.export.sizes import measured_sizes, takes
from edgefill.model.bundle import write_bundle
from edgefill.model.interface import Interface, Sizes
from edgefill.model.manifest import COMPLETION, HALF, INT8, Manifest, completion_interface

_SIDE = 64  # pixels of the example while tracing, at least
_CELLS = 3  # of the sizes' multiple in it, at least: a size of 1 within the network would be taken for fixed


def export_completion(
    network: nn.Module,
    path: str | Path,
    *,
    size: int,
    interface: Interface | None = None,
    channels: int | None = None,
    fixed: bool = False,
    name: str | None = None,
    family: str = "unknown",
    precision: str = "fp32",
    weights: str | None = None,
    calibration: np.ndarray | None = None,
    licence: str = "unknown",
    origin: str = "unknown",
) -> Manifest:
    """Writes ``network`` as a bundle of a model that completes in one pass, and returns its manifest.

    Unless ``interface`` says otherwise, it takes pictures [N, C, H, W] in [-1, 1], 0 where nothing is known,
    and what is known of them, [N, 1, H, W] of 0 and 1; it returns completed pictures [N, C, H, W] in [-1, 1].
    It is used in eval mode and left as it was. The batch stays dynamic.

    What it takes is measured, and stands in the manifest's interface: its channels, the multiple and the
    smallest of its sizes or the one that it needs, and the reach: how far away an output sees, or that it
    sees the whole picture. Height and width stay dynamic unless it needs one size.

    Args:
        path: with a suffix a zip, without one a folder.
        size: pixels of a side of the pictures that it was trained on; it must run on them.
        interface: how the network is called: ``forward`` gets the inputs in their order. What is measured
            takes the place of what it says of sizes, reach and the trained side; with a fixed size it is
            exported for ``size`` × ``size`` only.
        channels: 1 or 3, for a network without an ``interface`` that runs with either.
        fixed: for pictures of ``size`` × ``size`` only, whatever else it takes.
        family: what people call such networks.
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
    for key, value, expected in (
        ("precision", precision, (*PRECISIONS, INT8)),
        ("weights", weights, WEIGHTS),
    ):
        if value not in expected:
            raise InputError(f"{key} is {value!r}; expected one of {expected}")
    reference = prepared(network, "the completion network")
    if "fp16" in (weights, precision):
        rounded_to(reference, torch.float16)
    inpainter = _declared(reference, interface, channels, size)
    cases = _cases(calibration, inpainter.interface.channels, size) if precision == INT8 else []
    inpainter = _measured(inpainter, size, fixed=fixed)
    manifest = Manifest(
        name=name or Path(path).stem, family=family, interface=inpainter.interface,
        precision=precision.replace("both", "fp32"), weights=INT8 if cases else weights, opset=OPSET,
        licence=licence, origin=origin, edgefill=__version__,
    )  # fmt: skip
    graph, proof = _quantised(inpainter, manifest, cases) if cases else _proven(inpainter, manifest)
    graphs = {COMPLETION: graph}
    if precision == "both":
        half = replace(manifest, precision="fp16", weights="fp16")
        graphs[COMPLETION + HALF], proven = _proven(inpainter, half)
        proof |= {f"fp16 {quantity}": error for quantity, error in proven.items()}
    return write_bundle(path, replace(manifest, proof=proof), graphs)


def _declared(
    reference: nn.Module, interface: Interface | None, channels: int | None, size: int
) -> Inpainter:
    """``reference`` with how it is called. Raises ModelError where it does not run so at ``size``."""
    if interface is None:
        inpainter = _plainly_called(reference, (channels,) if channels else (3, 1), size)
    else:
        _check_interface(interface)
        inpainter = Inpainter(reference, replace(interface, trained_side=size))
    count, dtype = inpainter.interface.channels, inpainter.interface.output.dtype
    drawn = inpainter(torch.zeros(2, count, size, size), torch.ones(2, 1, size, size))
    if drawn.is_floating_point() == (dtype == "uint8"):
        raise ModelError(
            f"the completion network returned {drawn.dtype}; its interface says {dtype}: change one of them"
        )
    return inpainter


def _plainly_called(reference: nn.Module, channels: Sequence[int], size: int) -> Inpainter:
    """``reference`` as a network of a picture and a mask, with the first of ``channels`` that it takes."""
    inpainters = [
        Inpainter(reference, completion_interface(count, trained_side=size, sizes=Sizes(), reach=None))
        for count in channels
    ]
    return next((each for each in inpainters if takes(each, size, size)), inpainters[0])


def _check_interface(interface: Interface) -> None:
    interface.check("the interface")
    layouts = list(interface.layouts.values())
    if interface.batch is not None or not all("N" in layout for layout in layouts):
        raise InputError(
            f"the interface has the batch {interface.batch} and the layouts {', '.join(layouts)}; expected "
            "no fixed batch and layouts with an N: exported networks take any number of pictures"
        )


def _measured(inpainter: Inpainter, size: int, *, fixed: bool) -> Inpainter:
    """``inpainter`` with an interface that says which sizes it takes and how far it sees."""
    interface = inpainter.interface
    fixed = fixed or interface.sizes.fixed is not None
    sizes = Sizes(fixed=(size, size)) if fixed else measured_sizes(inpainter, size)
    reach, sizes = measured_reach(inpainter, sizes, size)
    return replace(inpainter, interface=replace(interface, sizes=sizes, reach=reach))


def _proven(inpainter: Inpainter, manifest: Manifest) -> tuple[bytes, dict[str, float]]:
    """The graph in the manifest's precision, and how far it is from PyTorch."""
    network = as_convolutions(copy.deepcopy(inpainter.network))
    graph = finished(_traced(network, manifest), COMPLETION, manifest)
    return graph, prove_completion(graph, inpainter, manifest)


def _quantised(
    inpainter: Inpainter, manifest: Manifest, cases: Sequence[Case]
) -> tuple[bytes, dict[str, float]]:
    """The graph in INT8 and how it was proven."""
    from edgefill.export.quantised import quantised

    model = _traced(in_phases(copy.deepcopy(inpainter.network)), manifest)
    exact = [_drawn(inpainter, case) for case in cases]
    found, ruin = quantised(model, inpainter.interface, cases, exact, "the completion network")
    return finished(found, COMPLETION, manifest), ruin.proof


def _drawn(inpainter: Inpainter, case: Case) -> np.ndarray:
    """What PyTorch draws of ``case``, [1, C, h, w] in [-1, 1]."""
    interface = inpainter.interface
    standard = replace(interface, output=replace(interface.output, layout="NCHW"))
    drawn = inpainter(torch.from_numpy(case.picture), torch.from_numpy(case.known))
    return np.asarray(standard.drawn({interface.output.name: drawn.float().numpy()}))


def _traced(network: nn.Module, manifest: Manifest) -> ModelProto:
    interface = manifest.passed
    dtype = torch.float16 if manifest.precision == "fp16" else torch.float32
    inpainter = Inpainter(network.to(dtype), interface, dtype)
    inputs, _ = interface.signature
    sides = {"N": 1, **_example_sides(interface.sizes)}
    examples = {
        name: torch.zeros(
            *(size if isinstance(size, int) else sides[size] for size in shape),
            dtype=getattr(torch, interface.dtypes[name]),
        )
        for name, shape in inputs.items()
    }
    dynamic = {
        name: {place: size for place, size in enumerate(shape) if isinstance(size, str)}
        for name, shape in inputs.items()
    }

    def complete(**feeds: Tensor) -> list[Tensor]:
        return [inpainter.drawn(**feeds).detach().to(getattr(torch, interface.output.dtype))]

    try:
        return plain_graph(complete, examples, [interface.output.name], dynamic)
    except ModelError as error:
        if interface.sizes.fixed:
            raise
        side = interface.trained_side
        raise ModelError(
            f"{error}. If its sizes are in the way, fixed=True exports it for pictures of {side}×{side} alone"
        ) from error


def _example_sides(sizes: Sizes) -> dict[str, int]:
    """Height and width while tracing: two sizes, or one symbol would stand for both."""
    cells = max(_CELLS, -(-max(_SIDE, sizes.smallest) // sizes.multiple))
    return {"H": cells * sizes.multiple, "W": (cells + 2) * sizes.multiple}


def _cases(calibration: np.ndarray | None, channels: int, size: int) -> Sequence[Case]:
    """What the network is calibrated on: each picture of ``calibration`` with a hole."""
    expected = (channels, size, size)
    if calibration is None or calibration.shape[1:] != expected or not len(calibration):
        found = "none" if calibration is None else f"{list(calibration.shape)}"
        raise InputError(
            f"int8 needs pictures to calibrate by, uint8 [N, {channels}, {size}, {size}]; found {found}; "
            "give a few hundred: --calibration FOLDER"
        )
    return cases_of_pictures(calibration)
