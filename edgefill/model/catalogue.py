"""The models that are on this machine: those that came with the package, and those in the cache folder.

What not everybody may use comes in a distribution of its own, and in a checkout of the sources.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgefill.errors import ModelError
from edgefill.files import standing_folder

if TYPE_CHECKING:
    from edgefill.model.manifest import Manifest

SUFFIX = ".edgefill"
_BUNDLED = Path(__file__).parents[1] / "assets"
_OTHERS = "edgefill_models"  # the package of those that are installed on their own
SEPARATE = dict.fromkeys(("faces64", "faces64-glcic"), "research use only")  # name → terms of what it brings
HOW_TO_GET_THEM = (
    "pip install ./models (in a checkout of edgefill, or the wheel that `pip wheel ./models` makes)"
)


@dataclass(frozen=True)
class Entry:
    """A model that ``find`` knows by name; ``manifest`` is None where the file is damaged."""

    name: str
    path: Path
    source: str  # "bundled" or "cached"
    bytes: int
    manifest: Manifest | None
    precisions: tuple[str, ...] = ()  # that a search can compute in
    problem: str = ""  # what is wrong with the file
    is_signed: bool = False  # by whoever it may be
    signed_by: str = ""  # the name of a signer that was asked for, where the signature is theirs
    distrust: str = ""  # why there is no such name, where signers were given


def cache_folder() -> Path | None:
    """Where this user's models are kept: EDGEFILL_CACHE_DIR or the platform's place; None without a home."""
    named = os.environ.get("EDGEFILL_CACHE_DIR")
    if named:
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "edgefill"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "edgefill" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "edgefill"


def catalogue(signers: Path | None = None) -> list[Entry]:
    """Every bundled and cached model, by name; each is verified, and its signature against ``signers``."""
    return [_describe(name, path, source, signers) for name, (path, source) in _known().items()]


def find(model: str | Path) -> Path:
    """The path of ``model``: a bundled or cached name, or a path. Raises ModelError that lists the names."""
    known = _known()
    if str(model) in known:
        return known[str(model)][0]
    path = Path(model).expanduser()
    if standing_folder(path).exists():
        return path
    if str(model) in SEPARATE:
        raise ModelError(
            f"the model {model} is not installed: it is for {SEPARATE[str(model)]} and comes on its own; "
            f"expected one of {', '.join(known)}, or get it: {HOW_TO_GET_THEM}"
        )
    near = difflib.get_close_matches(str(model), known, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(known) or "none is installed"
    raise ModelError(
        f"there is no model {str(model)!r}: no file, and no name that is known here ({names}); {guess}"
        "`edgefill export` makes one from a training run"
    )


def absent() -> list[str]:
    """The models that come on their own and are not here."""
    return [name for name in SEPARATE if name not in _known()]


def _bundled() -> list[Path]:
    """The folders of the models that were installed."""
    others = find_spec(_OTHERS)
    places = others.submodule_search_locations if others else None
    return [*map(Path, places or ()), _BUNDLED]


def _known() -> dict[str, tuple[Path, str]]:
    """Name → path and source; a bundled model hides a cached one of its name."""
    cache = cache_folder()
    places = [(cache / "models", "cached")] if cache else []
    found = {
        path.name.removesuffix(SUFFIX): (path, source)
        for folder, source in [*places, *((each, "bundled") for each in _bundled())]
        for path in _models_in(folder)
    }
    return dict(sorted(found.items()))


def _models_in(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.glob(f"*{SUFFIX}")
    except OSError:  # a cache that cannot be read is an empty one
        return


def _describe(name: str, path: Path, source: str, signers: Path | None) -> Entry:
    from edgefill.model.bundle import Bundle
    from edgefill.model.signature import signer_of

    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    try:
        bundle = Bundle.open(path)
    except ModelError as error:
        return Entry(name, path, source, size, None, problem=str(error))
    entry = Entry(
        name, path, source, size, bundle.manifest, bundle.precisions, is_signed=bool(bundle.signature)
    )
    try:
        return replace(entry, signed_by=signer_of(bundle, signers) if signers else "")
    except ModelError as error:
        return replace(entry, distrust=str(error))
