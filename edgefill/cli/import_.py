"""``edgefill import``: anybody's completion network, or generator, to a model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, print_json, require, say
from edgefill.cli.examples import examples
from edgefill.errors import InputError, OutputError
from edgefill.files import check_writable, write_atomically

if TYPE_CHECKING:
    from edgefill.export.importing.importer import Examined
    from edgefill.export.importing.told import Told

_PANEL = "What the network takes, where its file does not tell"


@app.command("import", epilog=examples("import"))
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A completion network as ONNX; or a generator: as ONNX, or the state dict of a DCGAN, of "
            "PyTorch or as safetensors, or a TensorFlow checkpoint.",
        ),
    ],
    out: Annotated[
        Path | None, path_option("The model to write, e.g. migan.edgefill.", "--out", "-o")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its name; the file's stem unless given.")] = None,
    precision: Annotated[str, typer.Option(help="fp32: as it is; fp16 (GPUs); both; or int8.")] = "fp32",
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures that show int8 which values occur, like those to complete."),
    ] = None,
    discriminator: Annotated[
        Path | None,
        path_option("The D of a generator, where it is not in the same file.", "--discriminator", "-d"),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="What a generator's z was drawn from in training: uniform or normal; by its batch norms "
            "unless given."
        ),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Keep a packaging that is recognised, with its own crop and paste.",
        ),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels of a side, fewer than those of a network of one size: quicker for small holes.",
        ),
    ] = None,
    mask_means: Annotated[
        str | None,
        typer.Option(help="What the larger value of the mask means: known or hole.", rich_help_panel=_PANEL),
    ] = None,
    mask_values: Annotated[
        str | None,
        typer.Option(
            help="The mask's values at known and at missing pixels, e.g. 0.5,-0.5.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="Of the picture that it takes: -1..1, 0..1, 0..255, imagenet, or means/deviations.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    output_range: Annotated[
        str | None, typer.Option(help="The same of the picture that it draws.", rich_help_panel=_PANEL)
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="Of the channels: RGB or BGR.", rich_help_panel=_PANEL)
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Of the axes: NCHW, NHWC, CHW or HWC.", rich_help_panel=_PANEL)
    ] = None,
    sees: Annotated[
        str | None,
        typer.Option(
            help="What stands in the hole: zero (0 in its own range), black, grey or white.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(
            help="How one input joins both: mask,picture or picture,mask; with ones for five channels.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    mask_input: Annotated[
        str | None, typer.Option(help="The name of the input that is the mask.", rich_help_panel=_PANEL)
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="The name of the output that is the picture.", rich_help_panel=_PANEL)
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels of a side of its training's pictures; 256 unless the file fixes it.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    contract: Annotated[
        Path | None,
        typer.Option(
            help="JSON with any part of what --write-contract writes; it goes before the other options.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    write_contract: Annotated[
        Path | None, typer.Option(help="Write what was found out as JSON, e.g. to correct it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what was found; write no model.")] = False,
    licence: Annotated[str | None, typer.Option(help="The terms of the weights, for the manifest.")] = None,
    origin: Annotated[str | None, typer.Option(help="Where the weights come from, for the manifest.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest, or what was found, as JSON on stdout.")
    ] = False,
) -> None:
    """Import a network that exists: it is recognised, tried and written as a model.

    A completion network is an ONNX file that takes a picture and a mask; it is tried on a picture. A
    generator takes z: it is an ONNX file too, or weights, from whose shapes its layers follow, and it gets
    a search's gradient.
    """
    _check_places(out, write_contract, dry_run=dry_run, force=force)
    from edgefill.cli.importing_generators import import_generator_to, is_generator

    if is_generator(file):
        foreign = {
            "--whole": whole, "--size": size, "--mask-means": mask_means, "--mask-values": mask_values,
            "--range": range_, "--order": order, "--layout": layout, "--sees": sees, "--join": join,
            "--side": side,
            "--mask-input": mask_input, "--output": output, "--contract": contract,
            "--write-contract": write_contract, "--calibration": calibration,
        }  # fmt: skip
        _check_of_generators(file, foreign)
        import_generator_to(
            file, None if dry_run else out, discriminator=discriminator, prior=prior,
            output_range=output_range, name=name, precision=precision, licence=licence, origin=origin,
            as_json=as_json,
        )  # fmt: skip
        return
    _check_of_networks(file, {"--discriminator": discriminator, "--prior": prior})
    require("import", "onnx", "onnxruntime")
    from edgefill.export.importing.importer import PRECISIONS, check_precision, examine, write_examined
    from edgefill.export.importing.told import Told

    _one_of("--precision", precision, PRECISIONS)
    check_precision(precision, calibration)
    told = Told(
        mask_input=mask_input, output=output, layout=layout, order=order, sees=sees, side=side,
        mask_means=mask_means, **_values(mask_values, range_, output_range, join), contract=_read(contract),
    )  # fmt: skip
    _check(told)
    say(f"importing {file}: it is tried on a picture (some seconds)")
    examined = examine(file, told=told, whole=whole, size=size)
    for line in examined.found:
        say(f"  {line}")
    if write_contract:
        write_atomically(write_contract, (_document(examined) + "\n").encode())
        say(f"wrote {write_contract}")
    if dry_run or out is None:
        if as_json:
            print_json({"interface": json.loads(_document(examined)), "proof": examined.proof})
        return
    manifest = write_examined(
        examined, out, name=name, precision=precision, calibration=calibration, licence=licence,
        origin=origin or file.name,
    )  # fmt: skip
    if "int8 loss" in manifest.proof:
        say(
            f"  int8 takes {manifest.proof['int8 loss']:.2f} dB from what it draws in the calibration's holes"
        )
    if "fp16 hole" in manifest.proof:
        say(f"  fp16 moves what it draws in holes by {manifest.proof['fp16 hole']:.1e} of 2")
    size = sum(entry["bytes"] for entry in manifest.files.values())
    say(
        f"wrote {out} ({size / 1e6:.1f} MB): {manifest.family}, {precision}, "
        f"licence {manifest.licence}\n"
        f"next: edgefill complete PICTURE --mask MASK --model {out} --out filled"
    )
    if as_json:
        print_json({"model": str(out), **dataclasses.asdict(manifest)})


def _check_of_generators(file: Path, options: dict[str, Any]) -> None:
    """Raises InputError for options of completion networks."""
    given = [option for option, value in options.items() if value not in (None, False)]
    if given:
        raise InputError(
            f"{file.name} is a generator, which takes no picture; found {' and '.join(given)}, of completion "
            "networks: leave it out"
        )


def _check_of_networks(file: Path, options: dict[str, Any]) -> None:
    """Raises InputError for options of generators."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"{file.name} is no generator, which takes z alone; found {' and '.join(given)}: leave it out"
        )


def _check_places(out: Path | None, contract: Path | None, *, dry_run: bool, force: bool) -> None:
    if out is None and not dry_run and contract is None:
        raise InputError("there is nothing to write to; expected --out MODEL.edgefill, or --dry-run")
    for path in (out, contract):
        if path is not None and path.exists() and not force and not (dry_run and path is out):
            raise OutputError(f"{path} is already there; choose another name or replace it with --force")
    check_writable(path for path in (out, contract) if path is not None and not (dry_run and path is out))


def _values(mask: str | None, taken: str | None, drawn: str | None, join: str | None) -> dict[str, Any]:
    """What was told in texts of several values. Raises InputError."""
    from edgefill.export.importing.aspects import range_from_text
    from edgefill.model.interface import PARTS, Mask

    values: dict[str, Any] = {}
    if mask is not None:
        try:
            known, missing = (float(each) for each in mask.split(","))
        except ValueError as error:
            raise InputError(f"--mask-values is {mask!r}; expected two numbers such as 0.5,-0.5") from error
        values["mask"] = Mask(known, missing)
    if taken is not None:
        values["range"] = range_from_text(taken)
    if drawn is not None:
        values["output_range"] = range_from_text(drawn, "--output-range")
    if join is not None:
        values["parts"] = tuple(part.strip() for part in join.split(","))
        for part in values["parts"]:
            _one_of("--join", part, PARTS)
    return values


def _check(told: Told) -> None:
    from edgefill.model.interface import LAYOUTS, ORDERS, SEES

    _one_of("--mask-means", told.mask_means, ("known", "hole"))
    _one_of("--layout", told.layout, LAYOUTS)
    _one_of("--order", told.order, ORDERS)
    _one_of("--sees", told.sees, tuple(SEES))


def _one_of(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{option} is {value!r}; expected one of {', '.join(choices)}")


def _read(contract: Path | None) -> dict[str, Any]:
    """The contract's values by the names of an interface. Raises InputError."""
    if contract is None:
        return {}
    try:
        document = json.loads(contract.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the contract {contract} cannot be read: {error}; expected JSON") from error
    if not isinstance(document, dict):
        raise InputError(
            f"the contract {contract} is a {type(document).__name__}; expected an object, as "
            "--write-contract writes it"
        )
    return document


def _document(examined: Examined) -> str:
    return json.dumps(examined.interface.to_json(), indent=2)
