"""``edgefill verify``: whose a model is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, print_json, show
from edgefill.cli.examples import examples


@app.command(epilog=examples("verify"))
def verify(
    model: Annotated[str, typer.Argument(help="Name of an installed model, or path of one.")],
    signers: Annotated[
        Path,
        path_option(
            "Whom to believe: OpenSSH's allowed signers, as git reads them; also EDGEFILL_SIGNERS.",
            "--signers",
            envvar="EDGEFILL_SIGNERS",
            show_default=False,
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Say who signed a model; an error where nobody did whom you believe, or where it was changed since."""
    from edgefill.model.bundle import Bundle
    from edgefill.model.catalogue import find
    from edgefill.model.signature import signer_of

    bundle = Bundle.open(find(model))
    name = signer_of(bundle, signers)
    manifest = bundle.manifest
    if json:
        print_json(
            {"model": manifest.name, "path": str(bundle.path), "signed_by": name, "licence": manifest.licence}
        )
    else:
        show(f"{bundle.path} is signed by {name}; it is {manifest.name}, licence {manifest.licence}")
