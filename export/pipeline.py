"""A whole pipeline in one ONNX model: from a picture and a mask of any size to the finished picture.

What comes before and after the network is the geometry by which ``edgefill complete`` works, traced
(``edgefill.holes.frames``): one frame around all that is missing. It follows from where the hole is by
arithmetic alone, so no shape depends on what a picture holds, and TensorRT can run it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, compose, version_converter
from torch import Tensor

from edgefill.errors import ModelError, OutputError
from edgefill.export import onnx_passes
from edgefill.export.gradient import OPSET, plain_graph
from edgefill.export.proof import run_graph
from edgefill.files import write_atomically
from edgefill.holes.frames import Frame, Sight, enlarged, joined, placed, scale_for, seen
from edgefill.model.bundle import Bundle
from edgefill.model.interface import Interface
from edgefill.model.manifest import COMPLETION, Manifest
from edgefill.model.onnx_file import check_compiles

_EXAMPLE = 61, 67  # height and width while tracing: sizes that nothing else has
_FED, _KEPT = "fed_", "kept_"  # what begins the names of what the network takes, and of what passes it by
_LEVELS = 1  # of 255, by which rounding may differ from PyTorch
_CASES = (  # size of a picture, rows and columns of its hole, for the proof
    ((64, 64), slice(16, 48), slice(16, 48)),
    ((90, 200), slice(0, 70), slice(100, 200)),
    ((1, 1), slice(0, 1), slice(0, 1)),
    ((33, 20), slice(0, 0), slice(0, 0)),
)


def export_pipeline(bundle: Bundle, path: str | Path) -> tuple[Manifest, str]:
    """Writes the pipeline around ``bundle``, a model of one pass; returns its manifest and how it was proven.

    What comes before and after the model's graph is compared with PyTorch; the graph itself was, when it was
    exported or imported.

    Inputs: ``picture``, uint8 [H, W, C] with the model's channels, and ``mask``, uint8 [H, W], white (above
    127, or 1 of 0 and 1) where the picture is to be filled. Output: ``completed``, uint8 [H, W, C]; what the
    mask leaves is bit for bit that of ``picture``. H and W are anything from 1 on. The metadata say so
    too (``edgefill.picture``): a runtime has hard words for a picture of other channels.

    Raises ModelError where the model searches or the pipeline is not what PyTorch computes, OutputError where
    ``path`` cannot be written.
    """
    manifest = bundle.manifest
    if manifest.latent:
        raise ModelError(
            f"cannot make a pipeline of {manifest.name}: it searches, which one graph cannot; "
            "expected a model that completes in one pass"
        )
    if Path(path).suffix != ".onnx":
        raise OutputError(f"cannot write the pipeline to {path}: expected a name that ends in .onnx")
    around, network = _Around(manifest.passed), bundle.graph(COMPLETION)
    check_compiles(network, name=manifest.name, doing="make a pipeline of")
    model = _joined(around, _of_this_opset(onnx.load_from_string(network)))
    onnx_passes.write_metadata(
        model,
        {
            "edgefill.version": manifest.edgefill, "edgefill.graph": "pipeline",
            "edgefill.name": manifest.name, "edgefill.precision": manifest.precision,
            "edgefill.licence": manifest.licence, **_contract(manifest),
        },
    )  # fmt: skip
    content = bytes(model.SerializeToString(deterministic=True))
    levels = _proven(content, around, network)
    write_atomically(Path(path), content)
    return manifest, f"what is around the network within {levels:g} of 255 levels of PyTorch's"


def _contract(manifest: Manifest) -> dict[str, str]:
    """What goes in and comes out, in words."""
    colours = {1: "grey", 3: "RGB"}[manifest.channels]
    return {
        "edgefill.picture": f"uint8 [H, W, {manifest.channels}], {colours}, 0 to 255, of any size",
        "edgefill.mask": "uint8 [H, W] of the picture's size; above 127 is filled, or 1 of 0 and 1",
        "edgefill.completed": f"uint8 [H, W, {manifest.channels}], {colours}; what the mask leaves is kept",
    }


@dataclass(frozen=True)
class _Around:
    """What comes before and after a network, in PyTorch."""

    interface: Interface

    @property
    def channels(self) -> int:
        return self.interface.channels

    def before(self, picture: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The network's inputs, and what ``after`` needs of what was seen and where."""
        hole = _hole(mask)
        frame = self._frame(hole)
        values = (picture.float() / 127.5 - 1).permute(2, 0, 1)
        sight = seen(values, 1 - hole, frame, self.interface.cells, torch)
        feeds = self.interface.feeds(sight.means[None], sight.known[None], torch)
        return feeds, {"frame": torch.stack(list(frame)), "means": sight.means, "known": sight.known}

    def after(
        self, picture: Tensor, mask: Tensor, frame: Tensor, means: Tensor, known: Tensor, drawn: Tensor
    ) -> Tensor:
        """``picture`` with what the network drew where ``mask`` is white; ``drawn`` is its output."""
        output = self.interface.output
        own = self.interface.drawn({output.name: drawn}, torch)[0]
        finished = joined(Sight(means, known), own, hole_only=output.draws_holes_only, arrays=torch)
        lies = Frame(*(frame[index] for index in range(4)))
        pixels = enlarged(finished, lies, (mask.shape[0], mask.shape[1]), torch).permute(1, 2, 0)
        filled = ((pixels.clamp(-1, 1) + 1) * 127.5).round()
        return torch.where(_hole(mask)[:, :, None] > 0, filled, picture.float()).to(torch.uint8)

    def _frame(self, hole: Tensor) -> Frame:
        """The frame around all of ``hole``."""
        begin, end, size = [], [], []
        for there in (hole.amax(1), hole.amax(0)):
            place = torch.arange(there.shape[0], dtype=torch.float32)
            size.append(place.new_ones(()) * there.shape[0])
            begin.append(torch.where(there > 0, place, size[-1]).amin(0))
            end.append(((place + 1) * there).amax(0))
        extent, whole = (end[0] - begin[0], end[1] - begin[1]), (size[0], size[1])
        scale = scale_for(extent, whole, self.interface.cells, torch)
        corners = (begin[0], begin[1]), (end[0], end[1])
        return placed(*corners, scale, whole, self.interface.cells, torch)


def _hole(mask: Tensor) -> Tensor:
    """1 where ``mask`` is white, [H, W]: above 127, or 1 where it holds nothing above that."""
    values = mask.float()
    black = torch.where(values.amax(1).amax(0) > 1, 127.5, 0.5)
    return (values > black).float()


@cache
def _graphs(around: _Around) -> tuple[ModelProto, ModelProto]:
    """What comes before any network of that interface, and what comes after, with what that needs beside."""
    whole = {
        "picture": torch.zeros(*_EXAMPLE, around.channels, dtype=torch.uint8),
        "mask": torch.zeros(*_EXAMPLE, dtype=torch.uint8),
    }
    feeds, sights = around.before(**whole)
    kept = {**whole, **sights}
    sizes = {name: {0: "H", 1: "W"} for name in whole}

    def before(picture: Tensor, mask: Tensor) -> list[Tensor]:
        feeds, sights = around.before(picture, mask)
        return [*feeds.values(), picture, mask, *sights.values()]

    def after(**tensors: Tensor) -> list[Tensor]:
        return [around.after(**tensors)]

    names = [*(f"{_FED}{name}" for name in feeds), *(f"{_KEPT}{name}" for name in kept)]
    drawn = torch.zeros(_shape_of(around.interface), dtype=getattr(torch, around.interface.output.dtype))
    return (
        plain_graph(before, whole, names, sizes),
        plain_graph(after, {**kept, "drawn": drawn}, ["completed"], sizes),
    )


def _joined(around: _Around, network: ModelProto) -> ModelProto:
    """One model of ``around.before``, ``network`` and ``around.after``."""
    first, last = _graphs(around)
    network, last = compose.add_prefix(network, "network_"), compose.add_prefix(last, "after_")
    network.ir_version = first.ir_version
    names = [output.name for output in first.graph.output]
    kept = [name.removeprefix(_KEPT) for name in names if name.startswith(_KEPT)]
    fed = [name.removeprefix(_FED) for name in names if name.startswith(_FED)]
    links = [(f"{_FED}{name}", f"network_{name}") for name in fed]
    drawn = f"network_{around.interface.output.name}"
    outputs = [*(f"{_KEPT}{name}" for name in kept), drawn]
    model = compose.merge_models(first, network, io_map=links, outputs=outputs)
    links = [(f"{_KEPT}{name}", f"after_{name}") for name in kept]
    model = compose.merge_models(model, last, io_map=[*links, (drawn, "after_drawn")])
    onnx_passes.without_identities(model)
    _rename_output(model, "completed")
    onnx_passes.check_standard(model)
    onnx_passes.strip_traces(model)
    return model


def _of_this_opset(network: ModelProto) -> ModelProto:
    """``network`` in the opset of what is put around it, which a foreign one need not be in."""
    if network.opset_import[0].version != OPSET:
        network = version_converter.convert_version(network, OPSET)
    return network


def _shape_of(interface: Interface) -> tuple[int, ...]:
    """Of the output for one row."""
    sides = dict(zip("HW", interface.cells, strict=True))
    shape = interface.signature[1][interface.output.name]
    return tuple(sides.get(side, 1) if isinstance(side, str) else side for side in shape)


def _rename_output(model: ModelProto, name: str) -> None:
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [name if each == output.name else each for each in node.output]
    output.name = name


def _proven(pipeline: bytes, around: _Around, network: bytes) -> float:
    """The largest difference from PyTorch around ``network``, in levels of 255, for several holes."""
    random = np.random.default_rng(5)
    largest = 0.0
    for size, rows, columns in _CASES:
        picture = random.integers(256, size=(*size, around.channels), dtype=np.uint8)
        mask = np.zeros(size, np.uint8)
        mask[rows, columns] = 255
        given = {"picture": torch.from_numpy(picture), "mask": torch.from_numpy(mask)}
        feeds, sights = around.before(**given)
        drawn = run_graph(network, feeds)[around.interface.output.name]
        expected = around.after(**given, **sights, drawn=drawn)
        completed = run_graph(pipeline, given)["completed"]
        largest = max(largest, float((completed.int() - expected.int()).abs().max()))
    if largest > _LEVELS:
        raise ModelError(
            f"the exported pipeline is not what PyTorch computes: {largest:g} of 255 levels apart, expected "
            f"at most {_LEVELS}; nothing was written"
        )
    return largest
