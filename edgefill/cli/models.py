"""``edgefill models``: what there is to complete with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, print_json, say, show
from edgefill.cli.examples import examples

if TYPE_CHECKING:
    from edgefill.model.catalogue import Entry
    from edgefill.model.manifest import Manifest


@app.command(epilog=examples("models"))
def models(
    known: Annotated[
        bool,
        typer.Option(
            "--known", help="List instead the public networks that can be imported; nothing is downloaded."
        ),
    ] = False,
    signers: Annotated[
        Path | None,
        path_option(
            "Also say whose each is: OpenSSH's allowed signers, as git reads them; also EDGEFILL_SIGNERS.",
            "--signers",
            envvar="EDGEFILL_SIGNERS",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List the models that came with the package and those in the cache folder; smooth needs no file."""
    if known:
        _list_known(json)
        return
    from edgefill.model.catalogue import HOW_TO_GET_THEM, SEPARATE, SUFFIX, absent, cache_folder, catalogue

    entries, missing = catalogue(signers), absent()
    if json:
        others = [{"name": name, "licence": SEPARATE[name], "install": HOW_TO_GET_THEM} for name in missing]
        print_json({"models": [_document(entry) for entry in entries], "absent": others})
        return
    for entry in entries:
        show(_line(entry))
    show(
        "smooth  no network, no file: biharmonic where a hole is thin, harmonic where it is deep; any picture"
    )
    for name in missing:
        show(f"{name}  not installed; licence {SEPARATE[name]}; {HOW_TO_GET_THEM}")
    if not entries:
        say(f"no model is installed; `edgefill export` makes one, NAME{SUFFIX}")
    cache = cache_folder()
    if cache:
        say(f"models in {cache / 'models'} are listed too")


def _list_known(json: bool) -> None:
    from dataclasses import asdict

    from edgefill.model.known import known_networks

    networks = known_networks()
    if json:
        print_json({"networks": [asdict(each) for each in networks]})
        return
    for each in networks:
        lines = [f"{each.name}  {each.what}; licence {each.licence}", each.page, each.command]
        if each.sha256:
            lines.append(f"sha256 {each.sha256}")
        show("\n    ".join(lines))


def _document(entry: Entry) -> dict[str, Any]:
    document = {
        "name": entry.name,
        "source": entry.source,
        "path": str(entry.path),
        "bytes": entry.bytes,
        "problem": entry.problem,
    }
    if entry.manifest:
        described = (
            "method",
            "family",
            "height",
            "width",
            "channels",
            "z_dim",
            "precision",
            "weights",
            "origin",
            "licence",
        )
        document |= {name: getattr(entry.manifest, name) for name in described}
        document["precisions"] = list(entry.precisions)
        document |= {"sealed": entry.manifest.is_sealed, "signed": entry.is_signed}
        if entry.signed_by:
            document["signed_by"] = entry.signed_by
    return document


def _line(entry: Entry) -> str:
    if entry.manifest is None:
        return f"{entry.name}  {entry.source}, damaged: {entry.problem}"
    model = entry.manifest
    colours = "grey" if model.channels == 1 else "RGB"
    precisions = " and ".join(entry.precisions)
    return (
        f"{entry.name}  {model.family}, {model.method}, {model.width}×{model.height} {colours}, "
        f"{precisions}, "
        f"{entry.bytes / 1e6:.1f} MB, {entry.source}; from {model.origin}; licence {model.licence}"
        f"{_whose(entry, model)}"
    )


def _whose(entry: Entry, model: Manifest) -> str:
    """What its seal and its signature say, where there is anything to say."""
    if entry.signed_by:
        return f"; signed by {entry.signed_by}"
    unsealed = "" if model.is_sealed else "; not sealed: an edited manifest would not be noticed"
    if entry.distrust:
        return f"{unsealed}; not trusted: {entry.distrust}" if entry.is_signed else f"{unsealed}; not signed"
    return unsealed + "; signed, by whom was not asked: --signers" * entry.is_signed
