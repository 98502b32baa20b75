"""What a run of ``edgefill complete`` has to do, decided before its model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefill.cli.console import say
from edgefill.cli.outputs import SHEET_NAME, Outputs, plan_outputs, refuse_existing
from edgefill.cli.shards import Shard
from edgefill.files import check_writable


@dataclass(frozen=True)
class Plan:
    """The pictures that are to be completed, and how many of those that were named are not."""

    pictures: Sequence[Outputs]
    share: Shard
    skipped: int = 0  # whose outputs are there
    others: int = 0  # that other shards complete


def plan_run(
    sources: Sequence[Path],
    out: Path,
    share: Shard,
    *,
    format: str,
    extras: Iterable[str],
    sheet: bool,
    skip_existing: bool,
    force: bool,
) -> Plan:
    """The Plan for ``sources``, which may be folders, into the folder ``out``.

    Raises InputError and OutputError for what cannot be written, or is there and may not be replaced.
    """
    everything = plan_outputs(sources, out, format=format, extras=extras, sheet=sheet)
    own = [outputs for outputs in everything if share.takes(outputs.name)]
    if not share.is_whole:
        say(f"shard {share} by {share.says}: {len(own)} of {len(everything)} pictures; --shard 1/1 takes all")
    pictures = [outputs for outputs in own if not (skip_existing and outputs.exist)]
    written = [path for outputs in pictures for path in outputs.paths] + [out / SHEET_NAME] * sheet
    if not (skip_existing or force):
        refuse_existing(written)
    check_writable(written)
    return Plan(pictures, share, skipped=len(own) - len(pictures), others=len(everything) - len(own))
