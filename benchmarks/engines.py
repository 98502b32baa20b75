"""Seconds to build the engines of a model with TensorRT for RTX, and their sizes; no GPU is needed.

python -m benchmarks.engines [--model faces64] [--batches 1,8,64] [--rounds 5]
"""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from edgefill.export.engines.builder import build_plan
from edgefill.export.engines.library import open_library
from edgefill.export.engines.recipe import Recipe, input_shapes, static
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.model.manifest import WIDE, graph_signatures

_GRAPHS = (*WIDE.values(), "fit", "step", "generator", "encoder", "completion")


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    batches: Annotated[str, typer.Option(help="Batch sizes.")] = "1,8,64",
    rounds: Annotated[int, typer.Option(help="Builds of each engine; they take turns.")] = 5,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    bundle = Bundle.open(find(model))
    sizes = [int(size) for size in batches.split(",")]
    recipes = [
        Recipe(graph, bundle.precision_of(graph, precision), "rtx", static(size))
        for graph in _GRAPHS
        for precision in bundle.precisions
        if graph in graph_signatures(bundle.manifest, bundle.features(precision))
        for size in sizes
    ]
    built: dict[Recipe, list[Any]] = {recipe: [] for recipe in recipes}
    for _ in range(rounds):
        for recipe, plans in built.items():
            plans.append(
                build_plan(
                    bundle.graph(recipe.graph, recipe.precision),
                    recipe,
                    shapes=input_shapes(
                        bundle.manifest, recipe.graph, recipe.batch, bundle.features(recipe.precision)
                    ),
                )
            )
    rows = [
        {
            "graph": recipe.graph,
            "precision": recipe.precision,
            "batch": recipe.batch[2],
            "build_seconds": round(statistics.median(plan.seconds for plan in plans), 3),
            "plan_bytes": len(plans[-1].content),
            "complaints": sorted({line for plan in plans for line in plan.complaints}),
        }
        for recipe, plans in built.items()
    ]
    table = Table("graph", "precision", "batch", "build s (median)", "plan MB", "warnings")
    for row in rows:
        size, warnings = f"{row['plan_bytes'] / 1e6:.1f}", str(len(row["complaints"]))
        table.add_row(
            row["graph"], row["precision"], str(row["batch"]), str(row["build_seconds"]), size, warnings
        )
    Console().print(table)
    if name:
        library = open_library("rtx").title
        print(f"recorded in {record(name, {'model': model, 'library': library, 'engines': rows})}")


if __name__ == "__main__":
    typer.run(main)
