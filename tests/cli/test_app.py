"""The frame of the command line: versions, errors, suggestions, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

from edgefill.extras import install_line


def test_version(run_edgefill):
    import edgefill

    assert run_edgefill("--version").stdout.strip() == edgefill.__version__


def test_unknown_command_suggests_the_nearest(run_edgefill):
    done = run_edgefill("complet", check=False)
    assert done.returncode == 2
    assert "complete" in done.stderr
    assert done.stdout == ""


def test_unknown_option_is_a_usage_error_with_json_on_stdout(run_edgefill):
    done = run_edgefill("models", "--jsn", "--json", check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2
    assert "--json" in done.stderr


def test_error_is_one_line_and_a_traceback_only_on_request(run_edgefill, tmp_path):
    command = ("export", tmp_path / "none", "--out", tmp_path / "x.edgefill")
    done = run_edgefill(*command, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in run_edgefill("--debug", *command, check=False).stderr


def test_no_arguments_show_the_commands(run_edgefill):
    done = run_edgefill(check=False)
    for name in ("complete", "export", "models", "sample", "train"):
        assert name in done.stdout + done.stderr


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
