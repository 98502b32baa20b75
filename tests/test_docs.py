"""What the documentation says can be done: its commands parse, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.main

import edgefill.cli
from edgefill.cli.app import app
from edgefill.export.pipeline import export_pipeline
from edgefill.model.bundle import Bundle
from tests.bundles import tiny_networks, tiny_one_pass
from tests.export.foreign_completion import NETWORKS, Levels

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^    (edgefill .*)$", README.replace("\\\n", ""), re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
_TINY = {  # what the README says of networks of some size → the same of those of the tests
    'z_dim=128, spatial_z=True, discriminator_output="sigmoid"': "z_dim=4",
    "z_dim=128, picture_range=(0, 1)": "z_dim=4",
    "256": "64",
}


def test_page_of_commands_is_what_the_commands_say():
    page = runpy.run_path(str(ROOT / "docs" / "commands.py"))["page"]
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == page(), "run: python docs/commands.py"


def test_page_of_choices_is_what_was_recorded():
    page = runpy.run_path(str(ROOT / "docs" / "how_to_choose.py"))["page"]
    assert (ROOT / "docs" / "how-to-choose.md").read_text("utf-8") == page(), (
        "run: python docs/how_to_choose.py"
    )


def test_page_of_python_is_what_the_docstrings_say():
    page = runpy.run_path(str(ROOT / "docs" / "python.py"))["page"]
    assert (ROOT / "docs" / "python.md").read_text("utf-8") == page(), "run: python docs/python.py"


def test_python_of_that_page_runs(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((64, 64)).save("photo.png")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "python.md", "exec"), names)
    with Image.open("out.png") as image:
        assert image.size == (64, 64)
    assert isinstance(names["outcome"], edgefill.Failure)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_in_the_readme_has_these_options(line):
    _, name, *words = shlex.split(line.split("#")[0])
    command = typer.main.get_command(app).commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_commands_of_the_readme_run_one_after_another():
    """What one has written does not stop the next."""
    lines = [shlex.split(line.split("#")[0]) for line in COMMANDS if "--out " in line]
    going_on = [words for words in lines if not {"--force", "--skip-existing"} & set(words)]
    places = [words[words.index("--out") + 1].rstrip("/") for words in going_on if words[1] == "complete"]
    assert len(places) > 10 and sorted(places) == sorted(set(places))


def test_readme_shows_each_command():
    assert set(typer.main.get_command(app).commands) - {line.split()[1] for line in COMMANDS} <= {"models"}
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((64, 64)).save("photo.png")
    G, D = tiny_networks()
    Path("pass.edgefill").write_bytes(tiny_one_pass(3))
    export_pipeline(Bundle.open("pass.edgefill"), "pass.onnx")
    picture, mask = np.zeros((40, 50, 3), np.uint8), np.full((40, 50), 255, np.uint8)
    assert len(BLOCKS) == 5
    foreign = {"network": NETWORKS["three halvings"].build(), "other": Levels()}
    for block in BLOCKS:
        for own, tiny in _TINY.items():
            block = block.replace(own, tiny)
        exec(
            compile(block, "README.md", "exec"), {"G": G, "D": D, "picture": picture, "mask": mask, **foreign}
        )
    with Image.open("out.png") as image:
        assert image.size == (64, 64)
    assert Path("theirs.edgefill").exists()
    assert not Bundle.open("alone.edgefill").manifest.has_discriminator
    assert Bundle.open("photos.edgefill").manifest.passed.reach == 24
    assert Bundle.open("other.edgefill").precisions == ("fp32", "fp16")


def test_no_page_holds_an_open_end():
    for page in PAGES:
        assert "@@" not in page.read_text("utf-8")
        assert "TODO" not in page.read_text("utf-8")
