"""A whole pipeline in one ONNX model: from a picture and a mask of any size to the finished picture.

The square around the hole is cut out and scaled to what the network was trained on by two matrices, one for
rows and one for columns, and so is what the network draws scaled back. The matrices follow from where the
hole is by arithmetic alone, so no shape depends on what a picture holds, and TensorRT can run it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, compose
from torch import Tensor

from edgefill.errors import ModelError, OutputError
from edgefill.export import onnx_passes
from edgefill.export.gradient import plain_graph
from edgefill.export.proof import run_graph
from edgefill.files import write_atomically
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import COMPLETION, Manifest

_CONTEXT = 2  # sides of the square that is cut out, in those of the hole
_LEAST_KNOWN = 1e-3  # share of a pixel from which on it counts as known
_FEATHER = 1 / 16  # of the square's side: how far what is seen at the seam reaches into the hole
_EXAMPLE = 61, 67  # height and width while tracing: sizes that nothing else has
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
    exported.

    Inputs: ``picture``, uint8 [H, W, C] with the model's channels, and ``mask``, uint8 [H, W], white (above
    127) where the picture is to be filled. Output: ``completed``, uint8 [H, W, C]; what the mask leaves is
    bit for bit that of ``picture``. H and W are anything from 1 on.

    Raises ModelError where the model is of another kind or the pipeline is not what PyTorch computes,
    OutputError where ``path`` cannot be written.
    """
    manifest = bundle.manifest
    if manifest.latent:
        raise ModelError(
            f"cannot make a pipeline of {manifest.name}: it searches, which one graph cannot; "
            "expected a model that completes in one pass"
        )
    if Path(path).suffix != ".onnx":
        raise OutputError(f"cannot write the pipeline to {path}: expected a name that ends in .onnx")
    around, network = _Around(manifest.channels, manifest.height), bundle.graph(COMPLETION)
    model = _joined(around, onnx.load_from_string(network))
    onnx_passes.write_metadata(
        model,
        {
            "edgefill.version": manifest.edgefill, "edgefill.graph": "pipeline",
            "edgefill.name": manifest.name, "edgefill.precision": manifest.precision,
            "edgefill.licence": manifest.licence,
        },
    )  # fmt: skip
    content = bytes(model.SerializeToString(deterministic=True))
    levels = _proven(content, around, network)
    write_atomically(Path(path), content)
    return manifest, f"what is around the network within {levels:g} of 255 levels of PyTorch's"


@dataclass(frozen=True)
class _Around:
    """What comes before and after a network for squares of ``side``, in PyTorch."""

    channels: int
    side: int

    def before(self, picture: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What the network takes, ``seen [1, C, S, S]`` and ``known [1, 1, S, S]``, and where they lie."""
        values, hole = picture.float() / 127.5 - 1, _hole(mask)
        square = self._square(hole)
        rows = self._shrinking(hole.shape[0], square[0], square[2])
        columns = self._shrinking(hole.shape[1], square[1], square[2])
        there = 1 - hole
        share = rows @ there @ columns.T
        sums = rows @ (values * there[:, :, None]).flatten(1)
        sums = sums.reshape(self.side, hole.shape[1], self.channels).permute(2, 0, 1) @ columns.T
        known = (share > _LEAST_KNOWN).float()
        seen = (sums / share.clamp_min(_LEAST_KNOWN)).clamp(-1, 1) * known
        return {"seen": seen[None], "known": known[None, None], "square": square}

    def after(
        self, picture: Tensor, mask: Tensor, square: Tensor, seen: Tensor, known: Tensor, drawn: Tensor
    ) -> Tensor:
        """``picture`` with what was ``drawn [1, C, S, S]`` where ``mask`` is white."""
        blur = _gaussian(self.side, _FEATHER * self.side)
        near = blur @ known[0] @ blur  # 1/2 along a straight seam
        missed = blur @ ((seen - drawn)[0] * known[0]) @ blur
        smooth = missed / near.clamp_min(1e-6) * (2 * near).clamp_max(1)
        finished = ((drawn[0] + smooth).clamp(-1, 1) + 1) * 127.5
        hole = _hole(mask)
        rows = self._growing(hole.shape[0], square[0], square[2])
        columns = self._growing(hole.shape[1], square[1], square[2])
        wide = (finished @ columns.T).permute(1, 2, 0)  # [S, W, C]
        filled = (rows @ wide.flatten(1)).reshape(hole.shape[0], hole.shape[1], self.channels)
        return torch.where(hole[:, :, None] > 0, filled.round(), picture.float()).to(torch.uint8)

    def _square(self, hole: Tensor) -> Tensor:
        """Top, left and side, in whole pixels, of the square around the hole; it may exceed the picture."""
        spans = []
        for there in (hole.amax(1), hole.amax(0)):
            place = torch.arange(there.shape[0], dtype=torch.float32)
            size = place.new_ones(()) * there.shape[0]
            spans.append((torch.where(there > 0, place, size).amin(0), ((place + 1) * there).amax(0), size))
        extent = torch.maximum(*(end - start for start, end, _ in spans))
        longest = torch.maximum(*(size for _, _, size in spans))
        side = torch.minimum((_CONTEXT * extent).clamp_min(self.side), longest)
        starts = []
        for start, end, size in spans:
            middle = torch.floor((start + end - side) / 2)
            inside = torch.minimum(middle.clamp_min(0), size - side)
            starts.append(torch.where(side < size, inside, torch.floor((size - side) / 2)))
        return torch.stack([*starts, side])

    def _shrinking(self, size: int, start: Tensor, side: Tensor) -> Tensor:
        """[S, size]: each cell as the mean of what it covers, or between two pixels if it is smaller."""
        cell = side / self.side
        width = cell.clamp_min(1)
        centre = (start + (torch.arange(self.side) + 0.5) * cell)[:, None]
        place = torch.arange(size, dtype=torch.float32)[None]
        covered = torch.minimum(place + 1, centre + width / 2) - torch.maximum(place, centre - width / 2)
        return covered.clamp_min(0) / width

    def _growing(self, size: int, start: Tensor, side: Tensor) -> Tensor:
        """[size, S]: each pixel between the two cells that are next to it."""
        place = torch.arange(size, dtype=torch.float32)
        cell = (place + 0.5 - start) * self.side / side - 0.5
        cell = cell.clamp(0, self.side - 1)[:, None]
        return (1 - (cell - torch.arange(self.side)[None]).abs()).clamp_min(0)


def _hole(mask: Tensor) -> Tensor:
    """1 where ``mask`` is white, [H, W]."""
    return (mask.float() > 127.5).float()


def _gaussian(size: int, deviation: float) -> Tensor:
    """[size, size]: a row's mean around each of its places, nothing beyond its ends."""
    place = torch.arange(size, dtype=torch.float32)
    weight = torch.exp(-((place[:, None] - place[None]) ** 2) / (2 * deviation**2))
    return weight / weight.sum(1).max()


def _joined(around: _Around, network: ModelProto) -> ModelProto:
    """One model of ``around.before``, ``network`` and ``around.after``."""
    whole = {
        "picture": torch.zeros(*_EXAMPLE, around.channels, dtype=torch.uint8),
        "mask": torch.zeros(*_EXAMPLE, dtype=torch.uint8),
    }
    found = around.before(**whole)
    kept = [*whole, *found]  # what comes after needs, beside what is drawn
    sizes = {name: {0: "H", 1: "W"} for name in whole}

    def before(picture: Tensor, mask: Tensor) -> list[Tensor]:
        return [picture, mask, *around.before(picture, mask).values()]

    def after(**inputs: Tensor) -> list[Tensor]:
        return [around.after(**inputs)]

    first = plain_graph(before, whole, [f"{name}_kept" for name in kept], sizes)
    # What is drawn is a tensor of its own: tracing takes one tensor in two places for one input.
    last = plain_graph(after, {**whole, **found, "drawn": found["seen"].clone()}, ["completed"], sizes)
    network, last = compose.add_prefix(network, "network_"), compose.add_prefix(last, "after_")
    seen = [("seen_kept", "network_picture"), ("known_kept", "network_known")]
    model = compose.merge_models(
        first, network, io_map=seen, outputs=[*(f"{name}_kept" for name in kept), "network_completed"]
    )
    links = [*((f"{name}_kept", f"after_{name}") for name in kept), ("network_completed", "after_drawn")]
    model = compose.merge_models(model, last, io_map=links)
    onnx_passes.without_identities(model)
    _rename_output(model, "completed")
    onnx_passes.check_standard(model)
    onnx_passes.strip_traces(model)
    return model


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
        kept = around.before(**given)
        drawn = run_graph(network, {"picture": kept["seen"], "known": kept["known"]})["completed"]
        expected = around.after(**given, **kept, drawn=drawn)
        found = run_graph(pipeline, given)["completed"]
        largest = max(largest, float((found.int() - expected.int()).abs().max()))
    if largest > _LEVELS:
        raise ModelError(
            f"the exported pipeline is not what PyTorch computes: {largest:g} of 255 levels apart, expected "
            f"at most {_LEVELS}; nothing was written"
        )
    return largest
