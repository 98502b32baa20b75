"""How well a model's misfit tells pictures of its own kind from others.

    python -m benchmarks.foreign [--model faces64] [--own FACES] [--other NAME=FOLDER …] [--pictures 190]
        [--masks center,random,left,pattern,grid] [--name NAME]

``usual_misfit`` of the manifest is to be the 98th percentile of the model's own kind, over all of the masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.pictures import PHOTOS, held_out
from benchmarks.record import record
from edgefill.completion import Completer, Failure, Request, load
from edgefill.pictures.images import find_pictures

_USUAL = 0.98  # of a model's own pictures have less
_OTHERS = {"photos": PHOTOS / "test", "hands": held_out("hands64"), "faces": held_out("faces64")}


def main(
    model: Annotated[str, typer.Option(help="A model that searches.")] = "faces64",
    own: Annotated[
        Path | None, typer.Option(help="Pictures of its kind; held-out ones if not given.")
    ] = None,
    other: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of pictures of other kinds; those in shared/data.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="How many of each, evenly spaced.")] = 190,
    masks: Annotated[str, typer.Option(help="Kinds of holes.")] = "center,random,left,pattern,grid",
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    own = own or held_out(model)
    others = dict(_named(text) for text in other) if other else _OTHERS
    folders = {"own": own, **{kind: folder for kind, folder in others.items() if folder != own}}
    with load(model) as completer:
        found = {
            kind: {mask: misfits(completer, folder, mask, pictures) for mask in masks.split(",")}
            for kind, folder in folders.items()
        }
        limit = completer.model.usual_misfit
    usual = float(np.quantile(np.concatenate(list(found["own"].values())), _USUAL))
    limit = usual if limit is None else limit
    figures = {
        kind: {mask: _told(values, limit) for mask, values in by.items()} for kind, by in found.items()
    }
    for kind in folders:
        for mask, told in figures[kind].items():
            if kind != "own":
                told["auc"] = round(auc(found["own"][mask], found[kind][mask]), 4)
            print(f"{kind:8} {mask:8} {told}")
    print(f"of its own kind 98 of 100 have less than {usual:.3f}; the limit is {limit:.3f}")
    if name:
        document = {"model": model, "pictures": pictures, "usual": usual, "limit": limit, "kinds": figures}
        print(f"recorded in {record(name, document)}")


def misfits(completer: Completer, folder: Path, mask: str, count: int) -> np.ndarray:
    """The misfit of ``count`` pictures of ``folder``, evenly spaced, with holes of the kind ``mask``."""
    paths = find_pictures([folder])
    chosen = [paths[place] for place in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    found = []
    for outcome in completer.complete_many(chosen, Request(mask=mask)):
        if isinstance(outcome, Failure):
            raise outcome.error
        if outcome.misfit is not None:
            found.append(outcome.misfit)
    return np.array(found)


def auc(own: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs of which the other has the greater value: the area under the ROC curve."""
    pairs = others[:, None] - own[None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def _told(values: np.ndarray, limit: float) -> dict[str, Any]:
    quantiles = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "pictures": len(values),
        "5 %, median, 95 %": [round(float(each), 3) for each in quantiles],
        "said to be foreign": round(float((values > limit).mean()), 4),
    }


def _named(text: str) -> tuple[str, Path]:
    kind, equals, folder = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=FOLDER", param_hint="--other")
    return kind, Path(folder)


if __name__ == "__main__":
    typer.run(main)
