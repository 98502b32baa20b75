"""``edgefill import`` of a generator that exists: what it is, and the model that searches with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgefill.cli.console import print_json, require, say
from edgefill.errors import InputError

if TYPE_CHECKING:
    from edgefill.export.weights.importer import Found

_RANGES = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}


def is_generator(file: Path) -> bool:
    """Whether ``file`` holds weights, or a network of z, and none that completes. Raises ModelError."""
    from edgefill.export.weights.formats import OTHER, format_of

    if format_of(file) != OTHER:
        return True
    require("import", "onnx")
    from edgefill.export.weights.taking_z import takes_z

    return takes_z(file)


def import_generator_to(
    file: Path,
    out: Path | None,
    *,
    discriminator: Path | None,
    prior: str | None,
    output_range: str | None,
    name: str | None,
    precision: str,
    licence: str | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """Says what the G in ``file`` is, and writes it as a model to ``out``, if there is one."""
    picture_range = _range(output_range)
    require("train", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors.torch")
    from edgefill.export.weights.importer import check_precision, examine_generator, write_generator

    check_precision(precision)
    say(
        f"reading {file}: what follows from its shapes and its numbers"
        + "; nothing is written" * (out is None)
    )
    found = examine_generator(file, discriminator, prior=prior)
    for line in found.found:
        say(f"  {line}")
    if out is None:
        if as_json:
            print_json({"generator": _described(found)})
        return
    say(f"exporting it to {out} with its gradient (some seconds to half a minute)")
    manifest = write_generator(
        found, out, picture_range=picture_range, name=name, precision=precision, licence=licence or "unknown",
        origin=origin or file.name, report=lambda line: say(f"  {line}"),
    )  # fmt: skip
    size = sum(entry["bytes"] for entry in manifest.files.values())
    say(
        f"wrote {out} ({size / 1e6:.1f} MB): {manifest.height}×{manifest.width}, {manifest.channels} "
        f"channel(s), {manifest.precision}; gradient within {manifest.proof['gradient']:.1e} of PyTorch's\n"
        f"next: edgefill sample --model {out} --out samples.png"
    )
    if as_json:
        print_json({"model": str(out), **dataclasses.asdict(manifest)})


def _range(told: str | None) -> tuple[float, float] | None:
    if told is None:
        return None
    if told not in _RANGES:
        raise InputError(
            f"--output-range is {told!r}; expected {', '.join(_RANGES)} for what a generator draws"
        )
    return _RANGES[told]


def _described(found: Found) -> dict[str, object]:
    return {
        "z_dim": found.z_dim,
        "prior": found.prior,
        "spatial_z": found.spatial_z,
        "discriminator": found.discriminator is not None,
        "found": list(found.found),
    }
