"""The frame of the command line: versions, errors, suggestions, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgefill.errors import ModelError
from edgefill.extras import install_line


def test_version(run_edgefill):
    import edgefill

    assert run_edgefill("--version").stdout.strip() == edgefill.__version__


def test_unknown_command_suggests_the_nearest(edgefill):
    done = edgefill("complet")
    assert done.code == 2
    assert "complete" in done.err
    assert done.out == ""


def test_unknown_option_is_a_usage_error_with_json_on_stdout(edgefill):
    done = edgefill("models", "--jsn", "--json")
    assert done.code == 2
    assert json.loads(done.out)["error"]["exit_code"] == 2
    assert "--json" in done.err


def test_error_is_one_line_and_a_traceback_only_on_request(edgefill, tmp_path):
    command = ("export", tmp_path / "none", "--out", tmp_path / "x.edgefill")
    done = edgefill(*command)
    assert done.code == 4
    assert done.err.startswith("error: ") or "\nerror: " in done.err
    assert "Traceback" not in done.err
    with pytest.raises(ModelError):  # which Python shows with its traceback
        edgefill("--debug", *command)


def test_no_arguments_show_the_commands(edgefill):
    done = edgefill()
    for name in ("complete", "export", "models", "sample", "train"):
        assert name in done.out + done.err


def test_missing_package_names_the_extra_that_brings_it(tmp_path):
    (tmp_path / "config.json").write_text('{"kind": "dcgan"}')
    program = (
        "import sys; sys.modules['onnxscript'] = None; "
        f"sys.argv = ['edgefill', 'export', {str(tmp_path)!r}, '--out', {str(tmp_path / 'x.edgefill')!r}]; "
        "from edgefill.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 5
    assert install_line("train") in done.stderr
    assert "Traceback" not in done.stderr
