"""``edgefill doctor``: what works on this machine, and one line that mends what does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from edgefill.cli.app import app
from edgefill.cli.console import print_json, show
from edgefill.cli.examples import examples

if TYPE_CHECKING:
    from edgefill.doctor import Finding


@app.command(epilog=examples("doctor"))
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Say what works on this machine and how to mend the rest; paste it into a bug report."""
    from edgefill.doctor import examine
    from edgefill.surroundings import look

    findings = examine(look())
    if json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        show("\n".join(report(findings)))


def report(findings: list[Finding]) -> list[str]:
    """Lines of plain text: status, subject, what was found, and below it what mends it."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<8}{finding.subject:<{width}}  {finding.found}")
        if finding.mend:
            lines.append(f"{'':<8}{'':<{width}}  -> {finding.mend}")
    return lines
