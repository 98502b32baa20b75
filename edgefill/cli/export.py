"""edgefill export: a training run to a proven bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import print_json, require, say
from edgefill.errors import OutputError


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The run folder that `edgefill train` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model to write, e.g. faces.edgefill.")],
    name: Annotated[str | None, typer.Option(help="Its name; the file's stem unless given.")] = None,
    precision: Annotated[
        str, typer.Option(help="What the graphs compute in: fp32, fp16 (GPUs), both, or int8 (glcic).")
    ] = "fp32",
    weights: Annotated[
        str | None,
        typer.Option(help="What the weights of fp32 graphs are stored in: fp32 or fp16."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures that show int8 which values occur: some of the training's."),
    ] = None,
    licence: Annotated[str, typer.Option(help="The terms of the weights, for the manifest.")] = "unknown",
    origin: Annotated[str | None, typer.Option(help="Where the weights come from, for the manifest.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON on stdout.")] = False,
) -> None:
    """Export G, D and the step with its gradient, or a network of one pass, as one proven model."""
    if out.exists() and not force:
        raise OutputError(f"{out} is already there; choose another name or replace it with --force")
    require("train", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors.torch")
    from edgefill.export import export_run

    say(f"exporting {run}: each graph is compared with PyTorch (about half a minute)")
    manifest = export_run(
        run, out, name=name, precision=precision, weights=weights, calibration=calibration, licence=licence,
        origin=origin,
    )  # fmt: skip
    size = sum(entry["bytes"] for entry in manifest.files.values())
    proven, next_command = (
        (f"gradient within {manifest.proof['gradient']:.1e}", f"sample --model {out} --out samples.png")
        if manifest.kind == "dcgan"
        else (
            f"pictures within {next(iter(manifest.proof.values())):.1e}",
            f"complete PICTURE --model {out} --out filled",
        )
    )
    say(
        f"wrote {out} ({size / 1e6:.1f} MB): {manifest.height}×{manifest.width}, "
        f"{manifest.channels} channel(s), {manifest.precision}; {proven} of PyTorch's\n"
        f"next: edgefill {next_command}"
    )
    if as_json:
        import dataclasses

        print_json({"model": str(out), **dataclasses.asdict(manifest)})
