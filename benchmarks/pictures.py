"""Where the pictures lie that the recorded figures are about; any other folder can be named instead."""

from pathlib import Path

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FACES = _DATA / "faces64" / "test"
