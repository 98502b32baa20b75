"""``edgefill serve``: pictures completed for others, by HTTP and on a page."""

from __future__ import annotations

from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import require, say
from edgefill.runtimes.registry import choice

_MEGA = 2**20


@app.command()
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of an installed model, or path of one; again for more. [default: faces64]",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; another than loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")
    ] = 8000,
    token: Annotated[
        str,
        typer.Option(
            envvar="EDGEFILL_TOKEN",
            help="What clients must send, Authorization: Bearer TOKEN; also EDGEFILL_TOKEN.",
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which clients reach it, such as behind a proxy; again for more.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help=f"{choice()}.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp16 or fp32. [default: fp16 on a GPU where the model has it]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if not given.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that are completed together.")] = 16,
    waiting: Annotated[int, typer.Option(min=1, help="Jobs of a model that may wait; then 429.")] = 32,
    seconds: Annotated[
        float, typer.Option(help="That a job may take; then its best so far is the answer.")
    ] = 60,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Of one request.")] = 64,
    max_megapixels: Annotated[int, typer.Option(min=1, help="Of one picture.")] = 50,
    connections: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 128,
) -> None:
    """Complete pictures for others: HTTP at /v1, its description at /docs, and a page to paint on at /.

    Ctrl-C or SIGTERM finishes what was begun and ends.
    """
    require("serve", "starlette", "uvicorn", "python_multipart", "prometheus_client")
    from edgefill.serve.limits import Limits
    from edgefill.serve.models import open_models
    from edgefill.serve.server import address_of, check_reach, listen
    from edgefill.serve.server import serve as answer
    from edgefill.serve.service import Service

    limits = Limits(
        body_bytes=max_megabytes * _MEGA,
        pixels=max_megapixels * 1_000_000,
        waiting=waiting,
        seconds=seconds,
        connections=connections,
    )
    check_reach(host, token)
    with listen(host, port) as listener:
        models = open_models(
            model or ["faces64"], backend, batch=batch, waiting=waiting, say=say, precision=precision,
            threads=threads,
        )  # fmt: skip
        service = Service(models, limits, token, frozenset(allow_host or ()))
        answer(service, listener, lambda: say(f"serving at {address_of(listener)}, its interface at /docs"))
