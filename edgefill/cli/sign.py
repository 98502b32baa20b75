"""``edgefill sign``: a model with a signature that says whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, say
from edgefill.cli.examples import examples
from edgefill.errors import InputError


@app.command(epilog=examples("sign"))
def sign(
    model: Annotated[
        str, typer.Argument(help="Path of a model, or with --out the name of an installed one.")
    ],
    key: Annotated[
        Path,
        path_option("OpenSSH private key, or the public one of an agent's.", "--key", show_default=False),
    ],
    out: Annotated[
        Path | None, path_option("Where the signed model goes. [default: in its place]", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Sign a model with an SSH key, as git signs commits; nothing else of it changes."""
    from edgefill.cli.outputs import refuse_existing
    from edgefill.files import check_writable, standing_folder
    from edgefill.model.bundle import Bundle
    from edgefill.model.catalogue import find
    from edgefill.model.signature import sign as signed

    if out is None and not standing_folder(Path(model).expanduser()).exists():
        find(model)  # or its words on what there is
        raise InputError(
            f"{model} is an installed model, which stays as it is; expected --out MODEL.edgefill"
        )
    if out is not None and not force:
        refuse_existing([out])
    bundle = Bundle.open(find(model) if out else Path(model).expanduser())
    place = out or bundle.path
    check_writable([place] if place.suffix else [])
    say(f"signing with {key}; where it asks, type its password or touch it")
    signed(bundle, key, place)
    say(f"wrote {place}\nnext: edgefill verify {place} --signers FILE, which has a line NAME ssh-ed25519 KEY")
