"""What an engine is built for."""

from __future__ import annotations

from dataclasses import dataclass

from edgefill.model.manifest import Manifest, graph_signatures

Batch = tuple[int, int, int]  # smallest, most likely and largest number of rows
Shapes = tuple[tuple[int, ...], ...]  # smallest, most likely and largest of an input


@dataclass(frozen=True)
class Recipe:
    """One engine: which graph, in which precision, by which library, for how many rows and which GPUs."""

    graph: str  # of a bundle, such as "fit"
    precision: str  # that the graph computes in, "fp32" or "fp16"
    library: str  # one of LIBRARIES
    batch: Batch
    sm: tuple[int, ...] = ()  # architectures such as 86; () leaves them to the library

    @property
    def static(self) -> bool:
        """Whether the engine runs at one batch size only."""
        return self.batch[0] == self.batch[2]

    @property
    def name(self) -> str:
        """The stem of the engine's file: what a newer build of the same replaces."""
        rows = str(self.batch[2]) if self.static else "-".join(map(str, self.batch))
        return f"{self.graph}-{self.library}-{self.precision}-b{rows}"


def static(rows: int) -> Batch:
    """The batch of an engine for exactly ``rows``."""
    return rows, rows, rows


def input_shapes(model: Manifest, graph: str, batch: Batch, features: int = 0) -> dict[str, Shapes]:
    """The smallest, the most likely and the largest shape of each input of ``graph`` at ``batch`` rows.

    A completion network is shown frames of one size, whatever else it would take. ``features`` is how many
    numbers the latent of a wide graph has beside z.
    """
    _, height, width = model.picture_shape
    opened = [{"N": rows, "H": height, "W": width} for rows in batch]
    inputs, _ = graph_signatures(model, features)[graph]
    return {
        name: tuple(tuple(own[side] if isinstance(side, str) else side for side in shape) for own in opened)
        for name, shape in inputs.items()
    }
