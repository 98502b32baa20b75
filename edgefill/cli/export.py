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
    from edgefill.model.manifest import Alignment, Manifest


_MOST_MISFIT = 100
_PRECISIONS, _WEIGHTS = ("fp32", "fp16", "both", "int8"), ("fp32", "fp16")


@app.command(epilog=examples("export"))
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The run folder that `edgefill train` wrote; for --pipeline, --triton and another "
            "--precision a model.",
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
    eyes: Annotated[
        str,
        typer.Option(
            help="Where its pictures of faces have the eyes: x,y,x,y as shares of width and height."
        ),
    ] = "",
    usual_misfit: Annotated[
        float | None,
        typer.Option(
            help="What a search takes for a picture of its kind (benchmarks/foreign.py measures it)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON on stdout.")] = False,
) -> None:
    """Export G, D and the step with its gradient, or a network of one pass, as one proven model."""
    _check_about(eyes, usual_misfit, is_model=not pipeline and not triton)
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
    for option, value, choices in (("precision", precision, _PRECISIONS), ("weights", weights, _WEIGHTS)):
        if value is not None and value not in choices:
            raise InputError(f"--{option} is {shown(value)!r}; expected one of {', '.join(choices)}")
    again = not pipeline and _is_exported(source)
    if again:
        _check_again(source, precision, weights=weights, licence=licence, origin=origin)
    require("train", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors.torch")
    from edgefill.export.run import export_run, exported_or_found

    options: dict[str, Any] = {
        "name": name, "precision": precision, "weights": weights, "calibration": calibration,
        "licence": licence, "origin": origin,
    }  # fmt: skip
    if again:
        manifest, said = _exported_again(source, out, options, eyes, usual_misfit)
        _report(manifest, out, _size(manifest), said, as_json=as_json)
        return
    say(f"exporting {source}: what is new is compared with PyTorch (about half a minute)")
    if pipeline:
        from edgefill.export.pipeline import export_pipeline

        manifest, said = export_pipeline(exported_or_found(source, out.stem, **options), out)
        size = out.stat().st_size
    else:
        manifest = _annotated(export_run(source, out, progress=say, **options), out, eyes, usual_misfit)
        said = _proven(manifest, out)
        size = _size(manifest)
    _report(manifest, out, size, said, as_json=as_json)


def _report(manifest: Manifest, out: Path, size: int, said: str, *, as_json: bool) -> None:
    """Says what was written."""
    say(
        f"wrote {out} ({size / 1e6:.1f} MB): {manifest.height}×{manifest.width}, "
        f"{manifest.channels} channel(s), {manifest.precision}; {said}"
    )
    if as_json:
        print_json({"model": str(out), **dataclasses.asdict(manifest)})


def _size(manifest: Manifest) -> int:
    return sum(entry["bytes"] for entry in manifest.files.values())


def _is_exported(source: str) -> bool:
    """Whether ``source`` is a model and no training. Raises ModelError where it is neither."""
    from edgefill.model.catalogue import find
    from edgefill.model.container import MANIFEST

    path = Path(source)
    if (path / CONFIG).is_file():
        return False
    if path.is_dir() and not (path / MANIFEST).is_file():
        raise ModelError(
            f"{source!r} holds no training: {CONFIG} is missing; expected the folder given to "
            "`edgefill train --out`, or an exported model"
        )
    find(source)
    return True


def _check_again(source: str, precision: str | None, **kept: str | None) -> None:
    """Raises InputError for options that a model that exists has no use for."""
    given = [f"--{name}" for name, value in kept.items() if value not in (None, "unknown")]
    if given:
        raise InputError(
            f"{source} is exported already, and {' and '.join(given)} stay as they are; expected "
            "--precision, --name and --calibration alone, or its run"
        )
    if precision in (None, "fp32"):
        raise InputError(
            f"{source} is exported already; say what to make of it: --precision fp16, both or int8, "
            "--pipeline or --triton"
        )


def _exported_again(
    source: str, out: Path, options: dict[str, Any], eyes: str, usual_misfit: float | None
) -> tuple[Manifest, str]:
    """What was written, and what to do with it."""
    from edgefill.export.again import export_again
    from edgefill.model.bundle import Bundle
    from edgefill.model.catalogue import find

    bundle = Bundle.open(find(source))
    say(f"converting {bundle.manifest.name}: what is new is compared with its fp32 graphs")
    chosen = {key: options[key] for key in ("name", "precision", "calibration")}
    manifest = _annotated(export_again(bundle, out, **chosen), out, eyes, usual_misfit)
    return manifest, _next(manifest, out)


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
        found = f"gradient within {manifest.proof['gradient']:.1e}"
    else:
        found = f"pictures within {next(iter(manifest.proof.values())):.1e}"
    return f"{found} of PyTorch's\n{_next(manifest, out)}"


def _next(manifest: Manifest, out: Path) -> str:
    """What to do with it."""
    if manifest.latent:
        return f"next: edgefill sample --model {out} --out samples.png"
    return f"next: edgefill complete PICTURE --model {out} --out filled"


def _check_about(eyes: str, usual_misfit: float | None, *, is_model: bool) -> None:
    """Raises InputError for what no manifest can say, or where none is written."""
    if not is_model and (eyes or usual_misfit is not None):
        raise InputError(
            "--eyes and --usual-misfit are said by a model; found --pipeline or --triton: leave them out"
        )
    if usual_misfit is not None and not 0 < usual_misfit < _MOST_MISFIT:
        raise InputError(
            f"--usual-misfit is {usual_misfit:g}; expected a number above 0 and below {_MOST_MISFIT}"
        )
    if eyes:
        _alignment(eyes)


def _annotated(manifest: Manifest, out: Path, eyes: str, usual_misfit: float | None) -> Manifest:
    """The model at ``out`` with what is told of it."""
    from edgefill.model.bundle import annotate

    told: dict[str, Any] = {"alignment": _alignment(eyes)} if eyes else {}
    if usual_misfit is not None:
        told["usual_misfit"] = usual_misfit
    return annotate(out, **told) if told else manifest


def _alignment(eyes: str) -> Alignment:
    from edgefill.faces.eyes import read_eyes
    from edgefill.model.manifest import Alignment

    numbers = read_eyes(eyes)
    if len(numbers) != 4:
        raise InputError(
            f"--eyes is {shown(eyes)!r}; expected x,y,x,y from 0 to 1, as in 0.26,0.24,0.77,0.24"
        )
    return Alignment(numbers)
