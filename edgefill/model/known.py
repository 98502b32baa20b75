"""Public completion networks that edgefill knows by name: a table that comes with the package.

Nothing is downloaded. A file with a hash of the table is imported without a question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgefill.model.reading import read_dataclass

_TABLE = Path(__file__).with_name("known_networks.json")


@dataclass(frozen=True)
class KnownNetwork:
    """One row of the table."""

    name: str
    what: str  # it is
    licence: str  # of the weights
    page: str  # where its authors publish it
    command: str  # that imports it
    sha256: str = ""  # of the file; empty where nobody has computed it here


@dataclass(frozen=True)
class _Table:
    networks: tuple[KnownNetwork, ...]


def known_networks() -> tuple[KnownNetwork, ...]:
    """All of them, in the table's order."""
    document = json.loads(_TABLE.read_text(encoding="utf-8"))
    return read_dataclass(_Table, document, _TABLE.name).networks


def known_by_hash(sha256: str) -> KnownNetwork | None:
    """The one whose file has this hash, or None."""
    return next((each for each in known_networks() if sha256 and each.sha256 == sha256), None)
