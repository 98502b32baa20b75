"""Keys of people who sign models, and what they signed."""

from __future__ import annotations

import subprocess
from pathlib import Path

NOBODY = "somebody-else"


def make_keys(folder: Path) -> Path:
    """``folder``, now with a key each of "maker" and NOBODY, and the file ``signers`` of the maker's."""
    for name in ("maker", NOBODY):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (folder / "signers").write_text(f"maker@example.org {public_key(folder / 'maker')}\n")
    return folder


def public_key(key: Path) -> str:
    """Type and number of the public half of ``key``."""
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])
