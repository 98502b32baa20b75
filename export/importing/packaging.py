"""Networks inside packagings that are known: found by their tensors, cut out, and known by their interface.

A packaging crops, scales and pastes inside the graph, each in its own way. What edgefill wants is the network
that it wraps; around that it has a geometry of its own, which never sees what is under the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from edgefill.export.importing.declaring import declared
from edgefill.model.interface import Input, Interface, Mask, Output, Range, Sizes

_BYTES = Range.named("0..255")


@dataclass(frozen=True)
class Packaging:
    """How a packaging is recognised and where its network begins and ends."""

    name: str  # of the network
    whole: Interface  # of the file as it is
    seen: str  # the tensor that goes into the network
    drawn: str  # and the one that comes out
    core: Interface  # of the network, whose one input and output take the names of this interface

    def is_in(self, model: ModelProto) -> bool:
        """Whether ``model`` has its inputs, its outputs and both tensors."""
        made = {name for node in model.graph.node for name in node.output}
        inputs, outputs = self.whole.signature
        return (
            {self.seen, self.drawn} <= made
            and {value.name for value in model.graph.input} == set(inputs)
            and {value.name for value in model.graph.output} == set(outputs)
        )

    def cut(self, model: ModelProto) -> ModelProto:
        """A copy of ``model`` that is the network only."""
        (seen,), drawn = self.core.inputs, self.core.output
        names = {self.seen: seen.name, self.drawn: drawn.name}
        found = ModelProto()
        found.CopyFrom(model)
        nodes = [node for node in found.graph.node if self.seen not in node.output]
        for node in nodes:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        del found.graph.node[:]
        found.graph.node.extend(nodes)
        core: ModelProto = declared(found, self.core)
        return core


PACKAGINGS = (
    Packaging(
        name="MI-GAN",
        whole=Interface(
            inputs=(Input("image", ("picture",), dtype="uint8"), Input("mask", ("mask",), dtype="uint8")),
            output=Output("result", dtype="uint8", range=_BYTES),
            trained_side=512,
            range=_BYTES,
            mask=Mask(known=255.0),
            sees="grey",  # what stands in the hole leaks into what it draws
            batch=1,  # it squeezes its mask
        ),
        seen="/Concat_23_output_0",
        drawn="/model/synthesis/b512/Add_1_output_0",
        core=Interface(
            inputs=(Input("seen", ("mask", "picture")),),
            output=Output("drawn", hole_only=True),
            trained_side=512,
            mask=Mask(0.5, -0.5),
            sizes=Sizes(512, 512, (512, 512)),
        ),
    ),
)  # fmt: skip


def packaging_in(model: ModelProto) -> Packaging | None:
    """The packaging that ``model`` is, or None."""
    return next((each for each in PACKAGINGS if each.is_in(model)), None)
