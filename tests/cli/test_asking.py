"""What cannot be done is said before the work, and what goes wrong after it loses nothing."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from edgefill.cli import main
from tests.bundles import tiny_bundle, tiny_one_pass


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two pictures, a model that searches and one that does not."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Image.fromarray(np.full((16, 16), 99, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "m.edgefill").write_bytes(tiny_bundle())
    (tmp_path / "pass.edgefill").write_bytes(tiny_one_pass())
    return tmp_path


@pytest.fixture
def edgefill(monkeypatch, capsys):
    """Runs the command line here, and returns its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgefill", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


_COMPLETE = ("complete", "a.png", "b.png", "--model", "m.edgefill")


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ((*_COMPLETE, "--out=o", "--skip-existing", "--force"), 3, "one of the two"),
        ((*_COMPLETE, "--out=o", "--until=5", "--steps=7"), 3, "one of the two"),
        ((*_COMPLETE, "--out=/proc/none"), 6, "cannot write"),
        ((*_COMPLETE, "--out=a.png/o"), 6, "cannot write"),
        ((*_COMPLETE, "--out=o", "--mask=none.png"), 3, "no kind and no file"),
        (("sample", "--out=s.xyz"), 3, "cannot write a picture as 'xyz'"),
        (("sample", "--out=/proc/none/s.png"), 6, "cannot write"),
        (("export", "m.edgefill", "--pipeline", "--out=p.onnx"), 4, "completes in one pass"),
        (("export", "run", "--pipeline", "--out=p.onnx"), 4, "completes in one pass"),
        (("export", "pass.edgefill", "--pipeline", "--out=p.edgefill"), 6, "ends in .onnx"),
        (("export", "pass.edgefill", "--pipeline", "--out=/proc/none/p.onnx"), 6, "cannot write"),
        (("import", "a.onnx", "--out=/proc/none/p.edgefill"), 6, "cannot write"),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_before_anything_is_loaded(
    words, code, expected, place, edgefill, monkeypatch
):
    monkeypatch.setattr("edgefill.completion.load", None)
    monkeypatch.setattr("edgefill.cli.export.require", None)
    (place / "run").mkdir()
    (place / "run" / "config.json").write_text('{"kind": "dcgan"}')
    found, _, said = edgefill(*words)
    assert (found, expected in said) == (code, True), said
    assert not (place / "o").exists()


def test_sheet_that_cannot_be_written_loses_no_result(place, edgefill):
    (place / "o" / "sheet.png").mkdir(parents=True)
    code, out, said = edgefill(*_COMPLETE, "--out=o", "--sheet", "--force", "--json")
    assert code == 6  # found out beforehand
    (place / "o" / "sheet.png").rmdir()

    from edgefill.cli import outputs
    from edgefill.errors import OutputError

    def fails(*_):
        raise OutputError("cannot write the sheet: the disk is full")

    outputs.Sheet.save, before = fails, outputs.Sheet.save
    try:
        code, out, said = edgefill(*_COMPLETE, "--out=o", "--sheet", "--json")
    finally:
        outputs.Sheet.save = before
    document = json.loads(out)
    assert code == 6
    assert len(document["results"]) == 2
    assert document["failed"][0]["kind"] == "OutputError"
    assert "completed 2 of 2 pictures" in said


def test_precision_is_in_banner_json_and_png(place, edgefill):
    code, out, said = edgefill(*_COMPLETE, "--out=o", "--json")
    assert code == 0
    assert json.loads(out)["precision"] == "fp32"
    assert ", fp32)" in said
    with Image.open(place / "o" / "a.png") as image:
        assert json.loads(image.text["edgefill"])["precision"] == "fp32"


def test_success_says_where_the_pictures_went(place, edgefill):
    _, _, said = edgefill("complete", "a.png", "--model", "m.edgefill", "--out", "o")
    assert "completed 1 of 1 pictures, written to o" in said
