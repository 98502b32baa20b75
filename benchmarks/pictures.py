"""Where the pictures lie that the recorded figures are about; any other folder can be named instead."""

from pathlib import Path

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PHOTOS = _DATA / "photos"
MIGAN_PIPELINE = _DATA / "migan" / "migan_pipeline_v2.onnx"


def held_out(model: str) -> Path:
    """Pictures of what ``model`` draws that it was not trained on."""
    return _folder(model) / "test"


def seen_in_training(model: str) -> Path:
    """Pictures that ``model`` was trained on."""
    return _folder(model) / "train"


def _folder(model: str) -> Path:
    return _DATA / ("hands" if model == "hands64" else "faces64")
