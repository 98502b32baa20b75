"""edgefill export: a training run to a proven bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, print_json, require, say
from edgefill.cli.examples import examples
from edgefill.errors import InputError, ModelError, OutputError
from edgefill.files import check_writable
from edgefill.limits import shown
from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.config import CONFIG, kind_in

if TYPE_CHECKING:
    from edgefill.model.manifest import Manifest


_PRECISIONS, _WEIGHTS = ("fp32", "fp16", "both", "int8"), ("fp32", "fp16")


@app.command(epilog=examples("export"))
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The run folder that `edgefill train` wrote; for --pipeline and --triton a model.",
        ),
    ],
    out: Annotated[
        Path | None,
        path_option("The model to write, e.g. faces.edgefill.", "--out", "-o", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its name; the file's stem unless given.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="What the graphs compute in: fp32, fp16 (GPUs), both, or int8 (of one pass). [default: fp32]"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="What the weights of fp32 graphs are stored in: fp32 or fp16."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures that show int8 which values occur: some of the training's."),
    ] = None,
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline",
            help="Write one ONNX file instead, e.g. faces.onnx, that runs without edgefill: from a uint8 "
            "picture and mask of any size to the finished picture (of models of one pass).",
        ),
    ] = False,
    triton: Annotated[
        Path | None,
        typer.Option(
            help="Write MODEL into this model repository of NVIDIA's Triton instead.", show_default=False
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="With --triton: a plan of TensorRT for the GPU that is here, not an ONNX file."
        ),
    ] = False,
    licence: Annotated[str, typer.Option(help="The terms of the weights, for the manifest.")] = "unknown",
    origin: Annotated[str | None, typer.Option(help="Where the weights come from, for the manifest.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON on stdout.")] = False,
) -> None:
    """Export G, D and the step with its gradient, or a network of one pass, as one proven model."""
    if triton:
        _export_triton(source, triton, plan=plan, force=force)
        return
    if plan:
        raise typer.BadParameter("a plan is written for --triton alone", param_hint="--plan")
    if out is None:
        raise typer.BadParameter("a name for what is written is needed", param_hint="--out")
    if out.exists() and not force:
        raise OutputError(f"{out} is already there; choose another name or replace it with --force")
    check_writable([out if out.suffix else out / "manifest.json"])
    if pipeline:
        _check_pipeline(source, out)
    elif not (Path(source) / CONFIG).is_file():
        raise ModelError(
            f"{source!r} holds no training: {CONFIG} is missing; expected the folder given to "
            "`edgefill train --out`"
        )
    for option, value, choices in (("precision", precision, _PRECISIONS), ("weights", weights, _WEIGHTS)):
        if value is not None and value not in choices:
            raise InputError(f"--{option} is {shown(value)!r}; expected one of {', '.join(choices)}")
    require("train", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors.torch")
    from edgefill.export.run import export_run, exported_or_found

    options: dict[str, Any] = {
        "name": name, "precision": precision, "weights": weights, "calibration": calibration,
        "licence": licence, "origin": origin,
    }  # fmt: skip
    say(f"exporting {source}: what is new is compared with PyTorch (about half a minute)")
    if pipeline:
        from edgefill.export.pipeline import export_pipeline

        manifest, said = export_pipeline(exported_or_found(source, out.stem, **options), out)
        size = out.stat().st_size
    else:
        manifest = export_run(source, out, **options)
        said = _proven(manifest, out)
        size = sum(entry["bytes"] for entry in manifest.files.values())
    say(
        f"wrote {out} ({size / 1e6:.1f} MB): {manifest.height}×{manifest.width}, "
        f"{manifest.channels} channel(s), {manifest.precision}; {said}"
    )
    if as_json:
        print_json({"model": str(out), **dataclasses.asdict(manifest)})


def _check_pipeline(source: str, out: Path) -> None:
    """Raises EdgefillError where no pipeline of ``source`` can be at ``out``; loads nothing heavy."""
    from edgefill.model.bundle import Bundle
    from edgefill.model.catalogue import find

    if out.suffix != ".onnx":
        raise OutputError(f"cannot write the pipeline to {out}: expected a name that ends in .onnx")
    config = Path(source) / CONFIG
    if config.is_file():
        kind = kind_in(config.read_bytes(), str(config))
        if kind not in ARCHITECTURES:
            raise ModelError(
                f"cannot make a pipeline of {source}, a {kind}: it searches, which one graph cannot; "
                "expected a run of a model that completes in one pass"
            )
    else:
        manifest = Bundle.open(find(source)).manifest
        if manifest.latent:
            raise ModelError(
                f"cannot make a pipeline of {manifest.name}: it searches, which one graph cannot; expected a "
                "model that completes in one pass"
            )


def _export_triton(source: str, repository: Path, *, plan: bool, force: bool) -> None:
    from edgefill.model.bundle import Bundle
    from edgefill.model.catalogue import find

    path = find(source)
    if Bundle.open(path).manifest.interface:
        require("train", "torch", "onnx", "onnxscript", "onnxruntime")  # a pipeline is traced
    from edgefill.export.triton import export_triton

    manifest, folder = export_triton(path, repository, plan=plan, force=force)
    one_pass = "in the TensorRT backend, on GPUs like this one" if plan else "in the ONNX Runtime backend"
    runs = "in the Python backend, which needs edgefill" if manifest.latent else one_pass
    say(f"wrote {folder}, which runs {runs}\nnext: tritonserver --model-repository {repository}")


def _proven(manifest: Manifest, out: Path) -> str:
    """How far the model is from PyTorch, and what to do with it."""
    if manifest.latent:
        found, then = (
            f"gradient within {manifest.proof['gradient']:.1e}",
            f"sample --model {out} --out samples.png",
        )
    else:
        found = f"pictures within {next(iter(manifest.proof.values())):.1e}"
        then = f"complete PICTURE --model {out} --out filled"
    return f"{found} of PyTorch's\nnext: edgefill {then}"
