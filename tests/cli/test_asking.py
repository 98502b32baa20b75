"""What cannot be done is said before the work, and what goes wrong after it loses nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import typer.main
from PIL import Image

from edgefill.cli import main
from edgefill.cli.app import app
from edgefill.cli.examples import _EXAMPLES
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
        (("export", "m.edgefill", "--triton=d", "--eyes=0.3,0.2,0.7,0.2"), 3, "are said by a model"),
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
    assert "completed 1 of 1 pictures; written to o" in said


def test_one_picture_goes_from_stdin_to_stdout(place):
    complete = [sys.executable, "-m", "edgefill", "complete", "--model", "m.edgefill", "--mask", "left"]
    picture = (place / "a.png").read_bytes()
    piped = subprocess.run([*complete, "-"], input=picture, capture_output=True, check=True)
    subprocess.run([*complete, "a.png", "--out", "o"], capture_output=True, check=True)
    assert piped.stdout == (place / "o" / "a.png").read_bytes()
    for words in (["-", "--out", "o"], ["-", "a.png"], ["-", "--json"], ["-", "--format", "same"]):
        done = subprocess.run([*complete, *words], input=picture, capture_output=True)
        assert (done.returncode, b"stdin to stdout" in done.stderr) == (3, True)
    done = subprocess.run([*complete, "-"], input=b"", capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"")


def test_format_same_keeps_suffix_and_metadata(place, edgefill):
    from edgefill.cli.outputs import plan_outputs

    for name in ("p.JPG", "q.jpeg", "r.tif", "s.gif"):
        Image.new("L", (16, 16), 99).save(place / name, dpi=(300, 300))
    sources = sorted(place.glob("[p-s].*"))
    plan = plan_outputs(sources, place / "o", format="same")
    assert [outputs.picture.name for outputs in plan] == ["p.JPG", "q.jpeg", "r.tif", "s.png"]
    plan = plan_outputs(sources, place / "o", format="jpeg")
    assert [outputs.picture.name for outputs in plan] == ["p.JPG", "q.jpeg", "r.jpeg", "s.jpeg"]
    options = ("--model", "m.edgefill", "--format", "same", "--quality", 30)
    code, _, said = edgefill("complete", "p.JPG", "--out", "o", *options)
    assert code == 0, said
    with Image.open(place / "o" / "p.JPG") as image:
        assert image.info["dpi"] == (300, 300)
    code, _, said = edgefill("complete", "a.png", "--out", "o", "--model", "m.edgefill", "--quality", 30)
    assert (code, "is for JPEG" in said) == (3, True)


def test_animation_of_a_large_picture_is_made_small_and_says_so(place, edgefill):
    Image.linear_gradient("L").resize((1500, 1200)).save(place / "large.png")
    options = ("--model", "m.edgefill", "--gif", "--steps", 4, "--json")
    code, out, said = edgefill("complete", "large.png", "--out", "o", *options)
    assert code == 0, said
    assert json.loads(out)["results"][0]["notices"] == ["its animation is scaled down to 512 pixels"]
    with Image.open(place / "o" / "large.gif") as image:
        assert max(image.size) == 512


def test_picture_too_large_for_memory_fails_alone(place, edgefill, monkeypatch):
    Image.new("L", (1500, 1200), 99).save(place / "large.png")
    monkeypatch.setattr("edgefill.memory.available_memory", lambda: 20_000_000)
    words = ("complete", "a.png", "large.png", "b.png", "--model", "m.edgefill", "--out", "o", "--json")
    code, out, _ = edgefill(*words)
    document = json.loads(out)
    assert code == 3
    assert len(document["results"]) == 2
    assert "need about 54 MB of memory, and 20 MB are left" in document["failed"][0]["message"]


@pytest.mark.parametrize("name", sorted(_EXAMPLES))
def test_examples_of_the_help_can_be_asked(name):
    command = typer.main.get_command(app).commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    for line in _EXAMPLES[name]:
        program, command_name, *words = shlex.split(line)
        assert (program, command_name) == ("edgefill", name)
        assert {word for word in words if word.startswith("--")} <= options
        assert line in command.epilog
