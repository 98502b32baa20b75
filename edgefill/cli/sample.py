"""``edgefill sample``: what a model can draw, and the space it draws from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import number_option, path_option, print_json, say
from edgefill.cli.examples import examples
from edgefill.errors import InputError
from edgefill.limits import LIMITS, shown, whole_number
from edgefill.runtimes.registry import choice

_MOST = 4096  # pictures on one sheet, frames of one animation


@app.command(epilog=examples("sample"))
def sample(
    out: Annotated[Path, path_option("The sheet or strip, or a .gif.", show_default=False)],
    model: Annotated[str, typer.Option(help="Name of an installed model, or path of one.")] = "faces64",
    count: Annotated[int, typer.Option(min=1, max=_MOST, help="Pictures on the sheet.")] = 64,
    seed: Annotated[int, number_option("seed", "Of the first picture; the next has the next seed.")] = 0,
    interpolate: Annotated[str, typer.Option(help="Seeds to walk between, such as 7,42.")] = "",
    frames: Annotated[int, typer.Option(min=2, max=_MOST, help="Pictures on that way.")] = 30,
    arithmetic: Annotated[str, typer.Option(help="Sum of the latents of seeds, such as 3-5+9.")] = "",
    labels: Annotated[bool, typer.Option("--labels", help="Write its seed below each picture.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    backend: Annotated[str, typer.Option(help=f"{choice()}.")] = "auto",
    threads: Annotated[int | None, number_option("threads", "CPU threads; all cores if not given.")] = None,
) -> None:
    """Draw pictures: a sheet of seeds, a walk between two seeds, or a sum of latents.

    The picture of a seed is the one a completion with that seed starts from.
    """
    import numpy as np

    from edgefill.cli.outputs import refuse_existing
    from edgefill.completion import load
    from edgefill.files import check_writable, write_atomically
    from edgefill.methods.latent.drawing import drawn
    from edgefill.methods.latent.latents import Prior
    from edgefill.pictures.images import check_format
    from edgefill.pictures.sheets import gif_bytes, pictures_of, save_image, sheet, strip

    animated = out.suffix.lower() == ".gif"
    if interpolate and arithmetic:
        raise InputError("cannot interpolate and add at once; expected one of --interpolate and --arithmetic")
    if animated and not interpolate:
        raise InputError(f"cannot write {str(out)!r} as an animation; expected --interpolate, or a .png")
    terms = parse_arithmetic(arithmetic) if arithmetic else []
    seeds = parse_seeds(interpolate) if interpolate else [seed for _, seed in terms]
    seeds = seeds or list(range(seed, seed + count))
    if not animated:
        check_format(out.suffix)
    if not force:
        refuse_existing([out])
    check_writable([out])
    with load(model, backend, threads=threads) as completer:
        own = completer.model
        own.check_latent("draw samples from")
        say(f"{own.name} on {completer.backend.info}; licence of the model: {own.licence}")
        prior = Prior.of(own)
        if interpolate:
            z = prior.walk(seeds, frames)
        elif arithmetic:
            z = np.concatenate([prior.latents(seeds), prior.total(terms)[None]])
        else:
            z = prior.latents(seeds)
        pictures = pictures_of(drawn(z, completer.model, completer.backend))
    if animated:
        write_atomically(out, gif_bytes(pictures))
    elif interpolate:
        save_image(strip(pictures, gap=0), out)
    elif arithmetic:
        names = [f"{'-' if sign < 0 else '+'} {seed}" for sign, seed in terms]
        save_image(strip(pictures, [*names, "="]), out)
    else:
        save_image(sheet(pictures, [str(seed) for seed in seeds] if labels else ()), out)
    say(f"wrote {out}")
    if json:
        print_json({"model": completer.model.name, "output": str(out), "pictures": len(pictures)})


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``7,42``, two or more. Raises InputError."""
    seeds = [_seed(part.strip()) for part in text.split(",")]
    if len(seeds) < 2 or None in seeds:
        raise InputError(f"cannot walk between {shown(text)!r}: expected two seeds or more, as in 7,42")
    return [seed for seed in seeds if seed is not None]


def parse_arithmetic(text: str) -> list[tuple[int, int]]:
    """Sign (1 or −1) and seed of each term of ``3-5+9``. Raises InputError."""
    compact = re.sub(r"\s", "", text)
    terms = [(-1 if sign == "-" else 1, _seed(seed)) for sign, seed in re.findall(r"([+-]?)(\d+)", compact)]
    if not re.fullmatch(r"[+-]?\d+([+-]\d+)*", compact) or None in [seed for _, seed in terms]:
        raise InputError(f"cannot add {shown(text)!r}: expected seeds with + and − between them, as in 3-5+9")
    return [(sign, seed) for sign, seed in terms if seed is not None]


def _seed(text: str) -> int | None:
    seed = whole_number(text)
    return seed if seed is not None and LIMITS["seed"].hold(seed) else None
