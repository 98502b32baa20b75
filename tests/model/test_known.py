"""The table of public networks says what was seen, and nothing that was guessed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import typer.main

import edgefill.cli
from edgefill.cli.app import app
from edgefill.model.known import known_by_hash, known_networks


def test_every_row_says_what_it_is_and_how_to_import_it():
    assert edgefill.cli.main
    options = {name for each in typer.main.get_command(app).commands["import"].params for name in each.opts}
    names = [each.name for each in known_networks()]
    assert {"MI-GAN", "LaMa (Carve)", "AOT-GAN"} <= set(names) and len(set(names)) == len(names) >= 4
    for each in known_networks():
        assert each.what and each.licence and each.page.startswith("https://")
        program, command, file, *rest = shlex.split(each.command)
        assert (program, command, file[-5:]) == ("edgefill", "import", ".onnx")
        assert {word for word in rest if word.startswith("--")} <= options
        assert each.sha256 == "" or re.fullmatch("[0-9a-f]{64}", each.sha256)


def test_a_network_is_known_by_its_hash_alone():
    (migan,) = [each for each in known_networks() if each.sha256]
    assert (
        known_by_hash(migan.sha256) == migan and known_by_hash("") is None and known_by_hash("0" * 64) is None
    )


def test_the_command_lists_them_without_onnx():
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxruntime'] = None; "
        "from edgefill.cli import main; sys.argv = ['edgefill', 'models', '--known', *sys.argv[1:]]; main()"
    )
    run = [sys.executable, "-c", code]
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    document = json.loads(subprocess.run([*run, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [each["name"] for each in document["networks"]] == [each.name for each in known_networks()]
    for each in known_networks():
        assert each.page in text and each.command in text and each.sha256 in text
